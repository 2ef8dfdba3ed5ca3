// Package kube connects warmer to a Kubernetes cluster. controller and node are its two halves, the one that decides and
// the one on every node; gate waits for them. What they write is in warmer/api.
package kube
