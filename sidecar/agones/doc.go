// Package agones is a client of the Agones SDK server over gRPC that outlives it: the health and watch streams are opened again
// for ever, unary calls have deadlines and are repeated with jittered back-off, every transition is confirmed on the watch,
// and what the GameServer should say of the game is asserted until it does. A call that fails never ends anything; see
// [Client.Run].
//
// The protocol is internal/agonespb. UpdateList is never called: before Agones 1.59 it crashes the SDK server or is refused.
package agones
