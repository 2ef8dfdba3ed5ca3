package container

import (
	"errors"
	"fmt"
	"os/exec"
)

// ErrNotSupported is matched by errors that say what this machine lacks to run an image.
var ErrNotSupported = errors.New("not supported on this machine")

const qemuInside = "/.qemu"

var qemuNames = map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}

// Supported returns nil if images of the architecture can run here, and otherwise an error matching
// [ErrNotSupported] that says what to install.
func Supported(arch, hostArch string) error {
	if _, err := exec.LookPath("runc"); err != nil {
		return fmt.Errorf("%w: runc is missing (apt-get install runc)", ErrNotSupported)
	}
	if arch == hostArch {
		return nil
	}
	_, err := qemu(arch)
	return err
}

func qemu(arch string) (string, error) {
	name, ok := qemuNames[arch]
	if !ok {
		return "", fmt.Errorf("%w: no emulator known for %s", ErrNotSupported, arch)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is missing (apt-get install qemu-user-static)", ErrNotSupported, name)
	}
	return path, nil
}

// emulate starts the image's program under qemu-user. The emulator is static, so it needs nothing of the image
// and no binfmt registration on the host.
func (s *spec) emulate(arch string) error {
	path, err := qemu(arch)
	if err != nil {
		return err
	}
	s.Mounts = append(s.Mounts, mount{Destination: qemuInside, Type: "bind", Source: path, Options: []string{"bind", "ro"}})
	s.Process.Args = append([]string{qemuInside}, s.Process.Args...)
	return nil
}
