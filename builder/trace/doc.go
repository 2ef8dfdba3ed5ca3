// Package trace finds out which files of a tree a program opens, and proposes the profile of the assets that it can do with: [Parse]
// reads what strace wrote, [Merge] joins several runs, and [Propose] compares them with the tree. Nothing here runs a program.
package trace
