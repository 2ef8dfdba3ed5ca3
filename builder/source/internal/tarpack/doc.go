// Package tarpack unpacks tar archives into packs, and reads them back as they were.
//
// A pack keeps files with the usual permissions and the owner 0. What an archive says beyond that and what other
// sources need to know of it, permissions, owners, hard links, and which folders it lists at all, is kept beside the
// files: in an entry under a name that no archive may use.
package tarpack
