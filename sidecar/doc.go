// Package sidecar is what rides beside a game server in its pod and tells Agones the truth about it. This package is the
// domain, without network, disk or clock: what Agones says ([GameServer]), what the sidecar asks of it ([Transition],
// [Metadata]), and the state machine between a game and Agones ([Step]).
//
// Adapters are below: agones speaks the SDK, stk and generic watch games, and cmd/sidecar wires them.
package sidecar
