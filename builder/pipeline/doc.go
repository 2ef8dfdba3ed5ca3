// Package pipeline is pipeline.yaml: its types, its strict parser and the checks that need no source to be read. Faults are
// collected, not thrown one by one: a person fixes a file once.
package pipeline
