// Package node is what an agent has to do with a cluster: it takes what shall be warm from the WarmSets that apply to its
// node, the players from its NodeCache's spec, and writes what it has into that NodeCache's status. [Node] is a source of
// package agent.
//
// It watches WarmSets, its own Node and its own NodeCache, and nothing else. While the API server is away everything stays
// as it was; what has to be said is said afterwards.
package node
