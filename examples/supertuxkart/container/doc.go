// Package container runs an image of the SuperTuxKart example as a node would, but with nothing except runc: it
// unpacks one platform's layers into a root file system and starts the image's entrypoint, with the image's
// environment and user, on a read-only root in namespaces of its own. Images of another architecture run
// under qemu-user. The demo and the real-input tests share it.
package container
