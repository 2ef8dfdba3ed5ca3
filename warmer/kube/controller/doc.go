// Package controller keeps a cluster's WarmSets: it makes them of Agones' Fleets, sums up in their status what nodes' agents
// say in NodeCaches, labels nodes, takes their startup taint away, and tells agents how many players are on their node. What
// it decides is in package decide; here is when that is done, and how it is written. [Run] is where to begin.
//
// Agones may be missing, and may be installed later. Of several controllers one works; the others wait until it is gone.
package controller
