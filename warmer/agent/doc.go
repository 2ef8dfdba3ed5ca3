// Package agent makes a node's images warm and keeps them so: it observes the node, plans ([warmer.Plan]), starts what is
// planned, and plans again whenever something ended or changed. It has no state of its own that matters: killed at any
// moment, the next one goes on from what the runtime has. [New] and [Agent.Run], or [Agent.Pull] for once.
//
// It stays out of the way of matches: while players are on the node, [Options.Playing] are its limits. It stops what it does
// when the disk's floor is reached, and gives back what it took for it.
package agent
