// Package registry reads images from OCI registries for a node agent: gently towards the registry and the node, and
// without fetching a byte twice.
//
// Start with [New], then [Client.Resolve], [Client.Manifest] and [Client.Blob]. Which hosts are asked, mirrors included, is
// containerd's configuration (package hosts); who asks, docker's and Kubernetes' credentials (package auth).
//
// What callers may rely on:
//   - Big blobs are fetched in parallel ranges. A blob that is being read holds at most Parallel buffers of Chunk bytes,
//     8 MiB by default, however large it is; HTTP/2 keeps up to 3 MiB more for a connection. A range that is cut or stalls continues where it stopped.
//   - All transfers of a host share one back-off: when it answers 429 or 5xx, cannot be reached or cuts a transfer, all of
//     them wait for as long as it asked, or for a random time below a bound that doubles; then one request probes it, and
//     the others go on when that is answered. Other hosts are not concerned.
//   - All transfers of a client share one bandwidth ([Client.SetBandwidth]).
//   - Mirrors are tried in their order. A failing one is passed over for the next while it backs off, or for the rest of the
//     call if it lacks the content, denies it, or sends other content than was asked for. When all fail, the error is that
//     of the last host, which is the registry itself.
//   - A configuration that cannot be read is an error, even if the registry could be reached without it.
//   - Errors match [warmer.ErrNotFound], [warmer.ErrDenied] or [warmer.ErrUnavailable] and are a [warmer.RegistryError], or
//     match [ErrReference] or [ErrContent], or are the context's.
//
// Everything that a registry sends is taken to be hostile: it is bounded, checked, and cannot make credentials go elsewhere.
// The client does not verify a blob's digest: whoever stores it does.
package registry
