// Package v1alpha1 is pitcrew's API in Kubernetes: a [WarmSet] says which images shall be warm on which nodes, a
// [NodeCache] what one node has. Both are cluster-scoped, in group pitcrew.dev. The CRDs in config/crd are made from the
// markers here: make generate.
//
// Everything but deprecated fields stays readable for as long as the version is served.
//
// +kubebuilder:object:generate=true
// +groupName=pitcrew.dev
package v1alpha1

//go:generate go tool -modfile=../../../tools/controller-gen.mod controller-gen object paths=. crd:crdVersions=v1,maxDescLen=400 output:crd:dir=../../../config/crd
