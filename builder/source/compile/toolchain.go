package compile

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Bounds of a command that says which tools there are.
const (
	toolchainTime   = time.Minute
	toolchainOutput = 1 << 20
)

// toolchain is what the toolchain's commands print, with the commands. Another runner's tools are its identity.
func (r *Resolved) toolchain(ctx context.Context) (string, error) {
	if r.options.Runner != nil {
		return "", nil
	}
	var all strings.Builder
	for _, command := range r.options.Toolchain {
		out, err := r.ask(ctx, command)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%q %d\n%s\n", command, len(out), out)
	}
	return all.String(), nil
}

func (r *Resolved) ask(ctx context.Context, command []string) ([]byte, error) {
	const hint = "install the toolchain that the pipeline names, or correct toolchain"
	ctx, cancel := context.WithTimeout(ctx, toolchainTime)
	defer cancel()
	env := r.environment(os.TempDir())
	path, err := lookPath(command[0], env["PATH"], "/")
	if err != nil {
		return nil, builder.Errorf(builder.Input, hint, "toolchain %q: %w", command, err)
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Env, cmd.Dir = list(env), "/"
	var out bytes.Buffer
	cmd.Stdout = &capped{&out}
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = killDelay
	err = cmd.Run()
	switch {
	case out.Len() > toolchainOutput:
		return nil, builder.Errorf(builder.Input, hint, "toolchain %q prints more than %d bytes", command, toolchainOutput)
	case err != nil:
		return nil, builder.Errorf(builder.Input, hint, "toolchain %q: %w\n%s", command, err, lastLines(out.Bytes(), 5))
	}
	return out.Bytes(), nil
}

// capped takes little more than toolchainOutput.
type capped struct{ *bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:min(len(p), max(0, toolchainOutput+1-c.Len()))])
	return len(p), nil
}

// DefaultPath is the PATH that commands have unless the pipeline says another.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment are the command's variables, in the scratch folder.
func (r *Resolved) environment(scratch string) map[string]string {
	env := map[string]string{
		"PATH": DefaultPath, "HOME": scratch + "/" + homeName, "TMPDIR": scratch + "/" + tempName, "LANG": "C.UTF-8",
		"SOURCE_DATE_EPOCH": strconv.FormatInt(r.options.Created.Unix(), 10),
		"TARGETPLATFORM":    r.platform.String(), "TARGETOS": r.platform.OS, "TARGETARCH": r.platform.Architecture,
		"JOBS": strconv.Itoa(max(1, r.options.Jobs)),
	}
	maps.Copy(env, r.options.Env)
	return env
}
