// Package sidecartest is an Agones in memory: one GameServer, the controller that moves it, the SDK server in its pod and the
// kubelet that asks that one for health. It behaves as the real ones of Agones 1.57 to 1.61 do, down to what they do badly:
// an empty answer means that a call was queued, changes are written twice a second at most and are lost with the process,
// errors have the code Unknown, and Ready takes an allocated server from its players.
//
// In tests it is reached through [Server.Dial] without a socket, so that it runs in a synctest bubble; [Server.ServeOn] and
// [Server.REST] serve it on real ports.
package sidecartest
