package pipeline

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// ownVariables are what a command is told by builder and the pipeline cannot change.
var ownVariables = []string{"HOME", "TMPDIR", "SOURCE_DATE_EPOCH", "TARGETPLATFORM", "TARGETOS", "TARGETARCH"}

// buildChecker checks one phase's build.
type buildChecker struct {
	*checker
	at    string
	phase builder.Phase
	all   []string // the pipeline's platforms
}

func (c *buildChecker) check(b *Build) {
	if c.phase == builder.Assets {
		c.fault(c.at, "move what is compiled to code", "assets are the same for every platform: no command makes them")
		return
	}
	c.sources(join(c.at, "sources"), b.Sources)
	c.command(join(c.at, "command"), b.Command, true)
	if at := join(c.at, "workingDir"); c.written(at) {
		c.below(at, b.WorkingDir, "src")
	}
	c.env(join(c.at, "env"), b.Env)
	c.outputs(join(c.at, "outputs"), b.Outputs)
	c.toolchain(join(c.at, "toolchain"), b.Toolchain)
	c.buildkit(join(c.at, "buildkit"), b.BuildKit)
	c.optional(join(c.at, "timeout"), b.Timeout, timeoutSyntax)
	c.perPlatform(join(c.at, "perPlatform"), b.PerPlatform)
}

func (c *buildChecker) sources(at string, sources []Source) {
	if len(sources) == 0 {
		c.lacks(at, "write at least one source: the code", "has no source")
	}
	for i := range sources {
		s := &sourceChecker{checker: c.checker, at: item(at, i), phase: c.phase, all: c.all, source: &sources[i]}
		s.check()
		if owner := join(s.at, "owner"); c.written(owner) {
			c.fault(owner, "leave it out", "the scratch folder belongs to who builds")
		}
	}
}

func (c *buildChecker) command(at string, command []string, required bool) {
	switch {
	case len(command) == 0 && required:
		c.lacks(at, `for example [sh, -c, "make -j$JOBS"]`, "names no program")
	case len(command) == 0:
		c.fault(at, "for example [g++, --version]", "names no program")
	case command[0] == "":
		c.fault(item(at, 0), "for example [make]", "the program is empty")
	}
}

// below holds that a path lies in the scratch folder.
func (c *buildChecker) below(at, p, example string) {
	if !fs.ValidPath(p) || p == "." {
		c.fault(at, "for example "+example, "%s is not a clean path below the scratch folder", quote(p))
	}
}

func (c *buildChecker) env(at string, env map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(env)) {
		_, unknown := variablesIn(env[k])
		switch {
		case k == "" || strings.ContainsAny(k, "=\x00"):
			c.fault(join(at, k), "letters, digits and _", "%s is not a variable's name", quote(k))
		case slices.Contains(ownVariables, k):
			c.fault(join(at, k), "leave it out", "%s is what builder says it is", k)
		case unknown != "":
			c.fault(join(at, k), "use "+strings.Join(variableNames(), ", "), "%s is not a variable", quote(unknown))
		}
	}
}

func (c *buildChecker) outputs(at string, outputs []Output) {
	if len(outputs) == 0 {
		c.lacks(at, "write at least one: what the command makes", "has no output")
	}
	for i := range outputs {
		o, at := &outputs[i], item(at, i)
		switch p := join(at, "path"); {
		case !c.written(p):
			c.lacks(p, "for example build/bin", "is missing")
		default:
			c.below(p, o.Path, "build/bin")
		}
		if d := join(at, "destination"); c.written(d) {
			c.absolute(d, o.Destination, "/opt/game")
		}
		c.globs(join(at, "include"), o.Include)
		c.globs(join(at, "exclude"), o.Exclude)
	}
}

func (c *buildChecker) toolchain(at string, commands [][]string) {
	if c.written(at) && len(commands) == 0 {
		c.fault(at, "for example [[g++, --version]]", "is empty")
	}
	for i, command := range commands {
		c.command(item(at, i), command, false)
		if len(command) > 0 && strings.Contains(command[0], "/") && !path.IsAbs(command[0]) {
			c.fault(item(item(at, i), 0), "name it without a path, or with an absolute one", "%s is looked for before there is a scratch folder", quote(command[0]))
		}
	}
}

func (c *buildChecker) buildkit(at string, b *BuildKit) {
	if b == nil {
		return
	}
	c.match(join(at, "addr"), b.Addr, buildkitSyntax)
	(&sourceChecker{checker: c.checker, phase: c.phase, all: c.all, source: &Source{}}).image(join(at, "image"), b.Image)
	c.tls(join(at, "tls"), b)
	toolchains := []string{join(c.at, "toolchain")}
	for _, name := range c.all {
		toolchains = append(toolchains, join(join(join(c.at, "perPlatform"), name), "toolchain"))
	}
	for _, at := range toolchains {
		if c.written(at) {
			c.fault(at, "leave it out: the image's digest says which tools are used", "is for commands that run on this machine")
		}
	}
}

func (c *buildChecker) tls(at string, b *BuildKit) {
	if b.TLS == nil {
		return
	}
	if strings.HasPrefix(b.Addr, "unix:") {
		c.fault(at, "leave it out", "a socket of this machine has no TLS")
	}
	for _, file := range []struct{ name, path string }{{"ca", b.TLS.CA}, {"cert", b.TLS.Cert}, {"key", b.TLS.Key}} {
		if file.path == "" {
			c.lacks(join(at, file.name), "for example "+file.name+".pem", "is missing")
		}
	}
}

func (c *buildChecker) perPlatform(at string, platforms map[string]BuildPlatform) {
	for _, name := range slices.Sorted(maps.Keys(platforms)) {
		at := join(at, name)
		if !slices.Contains(c.all, name) {
			c.fault(at, "use one of the pipeline's platforms", "%s is not a platform of the pipeline", quote(name))
			continue
		}
		c.env(join(at, "env"), platforms[name].Env)
		c.toolchain(join(at, "toolchain"), platforms[name].Toolchain)
	}
}
