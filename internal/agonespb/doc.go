// Package agonespb holds the Agones SDK's protocol: proto is the source, sdk and beta are generated from it by buf with local
// plugins (see scripts/generate.sh). Agones' own module is not needed, and could replace it.
package agonespb

//go:generate go tool -modfile=../../tools/proto.mod buf generate
