// Package git is a source of one commit of a git repository, fetched without its history. What a branch or tag stands for is asked
// at every build; the commit is what the input digest is of. Files that lie elsewhere (submodules, Git LFS) are refused rather than
// silently missing.
package git
