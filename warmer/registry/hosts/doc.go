// Package hosts reads containerd's registry configuration: the folder that its config_path names (certs.d), with a
// hosts.toml or certificates for each registry (containerd's docs/hosts.md). [Load] says which hosts to ask for a
// registry's images, in order: mirrors first, and the registry itself or what the file puts in its place last.
//
// Files that containerd reads mean here what they mean there, so that the node agent and kubelet ask the same hosts. It
// differs in three ways. A file that cannot be read is an error, where containerd logs it and goes upstream. Certificates are
// read along with the file, so that a renewed one is a different [Host]. And docker.io as a server stands for
// registry-1.docker.io, since nothing answers there.
package hosts
