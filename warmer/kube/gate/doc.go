// Package gate holds up a rollout until images are warm ([Gate.Wait]), and shows how far a cluster is ([Overview]).
package gate
