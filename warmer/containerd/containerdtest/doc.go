// Package containerdtest runs a real containerd for tests: with its own root, state and socket, in mount and process
// namespaces that end with the test, and with them every mount, shim and container. [Start] skips the test where that
// cannot be done.
package containerdtest
