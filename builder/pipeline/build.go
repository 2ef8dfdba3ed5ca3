package pipeline

import (
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Build is a command that makes a phase's files, once for each platform, in a scratch folder.
type Build struct {
	// Sources are laid out in the scratch folder, each at its destination: source code, a sysroot, tools.
	Sources []Source `yaml:"sources" jsonschema:"minItems=1"`
	// Command is the program and its arguments. No shell is involved, and no variable is expanded.
	Command []string `yaml:"command" jsonschema:"minItems=1"`
	// WorkingDir is the folder it runs in, below the scratch folder (default: the scratch folder).
	WorkingDir string `yaml:"workingDir,omitempty"`
	// Env are variables for it, besides PATH, HOME, TMPDIR, LANG, SOURCE_DATE_EPOCH, TARGETPLATFORM, TARGETOS, TARGETARCH
	// and JOBS. Nothing else of the builder's own environment is seen. Variables are expanded.
	Env map[string]string `yaml:"env,omitempty"`
	// Outputs are what the phase consists of, of all that the command leaves behind.
	Outputs []Output `yaml:"outputs" jsonschema:"minItems=1"`
	// Toolchain are commands whose output says which tools are used: another output, and the command runs again.
	Toolchain [][]string `yaml:"toolchain,omitempty" jsonschema:"minItems=1"`
	// BuildKit is a daemon that runs the command, in a container, instead of this machine.
	BuildKit *BuildKit `yaml:"buildkit,omitempty"`
	// Timeout ends a command that takes longer, such as 90s, 30m or 2h (default: never).
	Timeout string `yaml:"timeout,omitempty" jsonschema:"pattern=^[1-9][0-9]{0\\,5}[smh]$"`
	// PerPlatform is what differs on a platform.
	PerPlatform map[string]BuildPlatform `yaml:"perPlatform,omitempty"`
}

// BuildPlatform is what differs on one platform.
type BuildPlatform struct {
	// Cross says that other machines can make this platform's files too: the tools are a cross toolchain.
	Cross bool `yaml:"cross,omitempty"`
	// Env are further variables; they win over the build's.
	Env map[string]string `yaml:"env,omitempty"`
	// Toolchain replaces the build's.
	Toolchain [][]string `yaml:"toolchain,omitempty" jsonschema:"minItems=1"`
}

// BuildKit is a BuildKit daemon, and the image with the tools.
type BuildKit struct {
	// Addr is where it listens: unix:///run/buildkit/buildkitd.sock or tcp://HOST:PORT.
	Addr string `yaml:"addr"`
	// Image has the tools. The digest that it has when the pipeline is built is part of the input digest.
	Image string `yaml:"image"`
	// TLS is for tcp.
	TLS *TLS `yaml:"tls,omitempty"`
}

// TLS names PEM files, relative to the pipeline's folder.
type TLS struct {
	// CA is who may sign the daemon's certificate.
	CA string `yaml:"ca"`
	// Cert is what the builder shows.
	Cert string `yaml:"cert"`
	// Key is that certificate's key.
	Key string `yaml:"key"`
}

// Output is a file or folder that a command makes.
type Output struct {
	// Path is below the scratch folder.
	Path string `yaml:"path"`
	// Destination is the folder in the image for a folder's contents, or for a file (default /).
	Destination string `yaml:"destination,omitempty"`
	// Include are globs on a folder's own paths (default: everything).
	Include []string `yaml:"include,omitempty"`
	// Exclude are globs on a folder's own paths; they win over include.
	Exclude []string `yaml:"exclude,omitempty"`
}

// For is the build as it is on one platform: what differs there has replaced what is general, and variables are
// expanded, other than those of its sources.
func (b *Build) For(platform v1.Platform) *Build {
	name := platform.OS + "/" + platform.Architecture
	out := *b
	own := b.PerPlatform[name]
	out.PerPlatform = map[string]BuildPlatform{name: own}
	out.Env = map[string]string{}
	maps.Copy(out.Env, b.Env)
	maps.Copy(out.Env, own.Env)
	for k, v := range out.Env {
		out.Env[k] = expand(v, name)
	}
	if b.BuildKit != nil {
		daemon := *b.BuildKit
		daemon.Image = expand(daemon.Image, name)
		out.BuildKit = &daemon
	}
	if len(own.Toolchain) > 0 {
		out.Toolchain = own.Toolchain
	}
	return &out
}

// Cross reports whether any machine can make the files of the platform that the build is for: see [Build.For].
func (b *Build) Cross() bool {
	for _, p := range b.PerPlatform {
		return p.Cross
	}
	return false
}
