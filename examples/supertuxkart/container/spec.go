package container

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The parts of the OCI runtime spec that are needed here, so that no module is pulled in for them.
type spec struct {
	OCIVersion string  `json:"ociVersion"`
	Process    process `json:"process"`
	Root       root    `json:"root"`
	Hostname   string  `json:"hostname"`
	Mounts     []mount `json:"mounts"`
	Linux      linux   `json:"linux"`
}

type process struct {
	Terminal        bool     `json:"terminal"`
	User            user     `json:"user"`
	Args            []string `json:"args"`
	Env             []string `json:"env"`
	Cwd             string   `json:"cwd"`
	NoNewPrivileges bool     `json:"noNewPrivileges"`
}

type user struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

type root struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly"`
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

type linux struct {
	Namespaces  []namespace `json:"namespaces"`
	UIDMappings []idMap     `json:"uidMappings,omitempty"`
	GIDMappings []idMap     `json:"gidMappings,omitempty"`
}

type namespace struct {
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
}

type idMap struct {
	ContainerID int `json:"containerID"`
	HostID      int `json:"hostID"`
	Size        int `json:"size"`
}

// Option changes how an image is run.
type Option func(*spec)

// Args replaces the image's program and arguments.
func Args(args ...string) Option { return func(s *spec) { s.Process.Args = args } }

// ReadOnly puts a file or folder of the host into the place of one of the image.
func ReadOnly(host, inside string) Option {
	return func(s *spec) {
		s.Mounts = append(s.Mounts, mount{Destination: inside, Type: "bind", Source: host, Options: []string{"rbind", "ro"}})
	}
}

// Network joins the network namespace at path instead of making one.
func Network(path string) Option {
	return func(s *spec) {
		i := slices.IndexFunc(s.Linux.Namespaces, func(n namespace) bool { return n.Type == "network" })
		s.Linux.Namespaces[i].Path = path
	}
}

// runtimeSpec translates an image config: the server sees the image read-only, and home (a host folder) where its
// HOME is.
func runtimeSpec(rootfs, home string, cf *v1.ConfigFile, options []Option) (spec, error) {
	uid, gid, err := numericUser(cf.Config.User)
	if err != nil {
		return spec{}, err
	}
	s := spec{
		OCIVersion: "1.0.2",
		Hostname:   "stk",
		Root:       root{Path: rootfs, Readonly: true},
		Process: process{
			User: user{UID: uid, GID: gid}, NoNewPrivileges: true, Cwd: "/",
			Args: slices.Concat(cf.Config.Entrypoint, cf.Config.Cmd), Env: cf.Config.Env,
		},
		Mounts: []mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
			{Destination: homeOf(cf), Type: "bind", Source: home, Options: []string{"rbind", "rw"}},
		},
		Linux: linux{Namespaces: []namespace{{Type: "pid"}, {Type: "mount"}, {Type: "ipc"}, {Type: "uts"}, {Type: "network"}}},
	}
	for _, option := range options {
		option(&s)
	}
	if len(s.Process.Args) == 0 {
		return spec{}, fmt.Errorf("the image has neither entrypoint nor cmd")
	}
	if cf.Architecture != runtime.GOARCH {
		if err := s.emulate(cf.Architecture); err != nil {
			return spec{}, err
		}
	}
	if os.Geteuid() != 0 {
		s.Linux.Namespaces = append(s.Linux.Namespaces, namespace{Type: "user"})
		s.Linux.UIDMappings = []idMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
		s.Linux.GIDMappings = []idMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
	}
	return s, nil
}

func numericUser(u string) (uid, gid int, err error) {
	us, gs, _ := strings.Cut(u, ":")
	if uid, err = strconv.Atoi(us); err == nil {
		gid, err = strconv.Atoi(gs)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the image's user %q is not UID:GID", u)
	}
	return uid, gid, nil
}

func homeOf(cf *v1.ConfigFile) string {
	for _, kv := range cf.Config.Env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok {
			return home
		}
	}
	return "/root"
}
