// Package live has no code: its tests let the sidecar live with the real SuperTuxKart server and real headless bots, each in a
// network and process namespace of its own, against the Agones in memory.
package live
