// Package containerd is a node's containerd, versions 1.7 and 2.x, as [warmer.Runtime]. It works in the namespace that
// kubelet uses and leaves there what kubelet's own pulls leave: blobs with the labels that garbage collection follows,
// committed snapshots named by chain ID, and three image records with the labels of CRI. Start with [Open].
//
// What is not complete is held by a lease of its own, which ends with the image's records, or after a day. Assets without
// an image are held by a lease for good. Downloads have the names that containerd's own have: one that was cut off, by
// whomever, is gone on with, and what kubelet is fetching is waited for.
//
// Everything that it makes carries its owner's label; nothing else is ever removed.
package containerd
