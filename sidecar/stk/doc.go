// Package stk watches a SuperTuxKart 1.4 (or 1.5) dedicated server: its log, its answer to the LAN query, and its socket, and
// says what it does as the sidecar's events. Counts come from the query where it answers, identities from the log; where the
// two differ the query is right.
//
// Everything in the log after the fixed part of a line may have been chosen by a stranger: names of players contain anything.
// Lines are therefore taken apart from both ends, and nothing that only the log says makes a server ready, empty or full.
package stk
