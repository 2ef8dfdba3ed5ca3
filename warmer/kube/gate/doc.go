// Package gate holds up a rollout until images are warm ([Gate.Wait]), does it ([Gate.Roll]), and shows how far a cluster is
// ([Overview]).
package gate
