// Package compile is the source whose files a command makes: a compile, native or cross, of what other sources hold.
//
// The sources are laid out in a scratch folder, the command runs there once for each platform, and what it leaves in the
// outputs is kept in a [pack.Store] under a digest of everything that went in. A second build with the same input runs
// nothing; [Resolved.Remote] makes a registry the cache for other machines.
//
// The command gets a clean environment: PATH, HOME and TMPDIR (in the scratch folder), LANG, SOURCE_DATE_EPOCH,
// TARGETPLATFORM, TARGETOS, TARGETARCH, JOBS, and what the pipeline says. The scratch folder's path is the same in every
// run on a machine, since compilers write it into what they make: one command per platform and cache folder at a time,
// the others wait. Files have the time of SOURCE_DATE_EPOCH, and an absolute symlink of a source leads to where that
// source's root lies, so that a sysroot works.
//
// When the command is over, however it ends, its processes are killed and the scratch folder is removed; what a builder
// that was killed left behind, [Sweep] removes. It is no sandbox: a command can read what its user can. A [Runner]
// that has one can take the place of this machine.
package compile
