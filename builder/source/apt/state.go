package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/filelock"
)

// state is a private apt state for one architecture and one set of mirrors, locked for its user.
type state struct {
	dir    string
	arch   string
	own    bool // mirrors of the pipeline's own, not the machine's sources
	unlock func()
}

// openState waits for the state's lock.
func openState(ctx context.Context, cacheDir, arch string, mirrors []Mirror) (*state, error) {
	return openStateOf(ctx, cacheDir, arch, sources(mirrors), len(mirrors) > 0)
}

// openStateOf is openState for a list of sources, which counts if it is the pipeline's own.
func openStateOf(ctx context.Context, cacheDir, arch string, list []byte, own bool) (_ *state, err error) {
	sum := sha256.Sum256(list)
	s := &state{dir: filepath.Join(cacheDir, "apt", arch+"-"+hex.EncodeToString(sum[:8])), arch: arch, own: own}
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			return nil, fmt.Errorf("make apt state: %w", err)
		}
	}
	if s.unlock, err = filelock.Lock(ctx, s.path("lock")); err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer func() {
		if err != nil {
			s.unlock()
		}
	}()
	for name, content := range map[string][]byte{"mirrors.sources": list, "apt.conf": []byte(aptConf), "preferences": nil} {
		if err := write(s.path(name), content); err != nil {
			return nil, err
		}
	}
	return s, s.assume(nil)
}

// write leaves a file alone that has this content: apt's caches depend on the time.
func write(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		return fmt.Errorf("write apt state: %w", err)
	}
	return nil
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// assume makes apt believe that the packages of a status file are installed.
func (s *state) assume(status []byte) error { return write(s.path("status"), status) }

// age is the time since the last update, or a very long time.
func (s *state) age() time.Duration {
	info, err := os.Stat(s.path("updated"))
	if err != nil {
		return 1<<63 - 1
	}
	return max(0, time.Since(info.ModTime()))
}

// updated notes that every source was up to date now.
func (s *state) updated() error {
	now := time.Now()
	if err := write(s.path("updated"), []byte("apt-get update\n")); err != nil {
		return err
	}
	if err := os.Chtimes(s.path("updated"), now, now); err != nil {
		return fmt.Errorf("write apt state: %w", err)
	}
	return nil
}

// aptConf keeps the machine's configuration from running commands of the machine's, and from fetching indexes that
// resolving does not need.
const aptConf = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke-Stats;
#clear AptCli::Hooks;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Architectures;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::CNF;
#clear Acquire::IndexTargets::deb::Contents-deb;
`

// arguments are those that every call of apt-get and apt-cache begins with.
func (s *state) arguments() []string {
	options := []string{
		"APT::Architecture=" + s.arch,
		"APT::Architectures::=" + s.arch,
		"Dir::State=" + s.path("state") + "/",
		"Dir::State::lists=lists/",
		"Dir::State::status=" + s.path("status"),
		"Dir::State::extended_states=extended_states",
		"Dir::Cache=" + s.path("cache") + "/",
		"Dir::Cache::archives=archives/",
		"Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"Dir::Cache::pkgcache=",
		"Debug::NoLocking=1",
		"APT::Sandbox::User=root", // who builds owns the state; the usual user _apt cannot look into it
		"Acquire::Languages=none",
		"Acquire::Retries=2",
		"Acquire::http::Timeout=30",
		"Acquire::https::Timeout=30",
		"Acquire::AllowInsecureRepositories=false",
		"Acquire::AllowDowngradeToInsecureRepositories=false",
		"APT::Get::AllowUnauthenticated=false",
		"quiet=1",
	}
	if s.own {
		options = append(options,
			"Dir::Etc::SourceList="+s.path("mirrors.sources"),
			"Dir::Etc::SourceParts=/dev/null",
			"Dir::Etc::Preferences="+s.path("preferences"),
			"Dir::Etc::PreferencesParts=/dev/null",
		)
	}
	args := []string{"--config-file=" + s.path("apt.conf")}
	for _, o := range options {
		args = append(args, "--option="+o)
	}
	return args
}
