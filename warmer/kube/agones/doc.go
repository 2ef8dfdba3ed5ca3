// Package agones has as much of Agones' types as a warmer reads. Objects that were read with them must not be written back
// whole: what is not here would be lost. Patches are safe.
//
// +kubebuilder:object:generate=true
// +groupName=agones.dev
package agones

//go:generate go tool -modfile=../../../tools/controller-gen.mod controller-gen object paths=.
