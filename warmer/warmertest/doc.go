// Package warmertest has what tests of the warmer share: a registry on loopback that counts and fails on demand
// ([Registry]), small images with the builder's annotations ([Registry.Push]), and a node in memory that is a
// [warmer.Runtime] and a [warmer.Registry] and keeps watch over the promises ([Node]).
package warmertest
