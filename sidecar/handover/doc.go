// Package handover gives a game what Agones says of its GameServer, for games that do not speak to Agones: as environment
// variables, as a file of them that is kept up to date (an allocation's labels and annotations come when the game runs
// already), and as configuration files that are rendered before the game starts.
//
// Labels and annotations are written by whoever may allocate: values are quoted, names are made harmless, and a
// template for an XML file has a function that escapes.
package handover
