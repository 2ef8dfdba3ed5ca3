package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// figures are what one build cost.
type figures struct {
	Wall, CPU float64 // seconds; CPU is the client's and its daemon's, not the registry's
	RSS       float64 // MB at the peak, client and daemon together
	Pushed    float64 // MB
	Requests  float64
}

// command runs a client to its end. pid is its daemon, or 0.
func command(ctx context.Context, reg *registry, pid int, args []string, env ...string) (figures, error) {
	requests, received := reg.requests.Load(), reg.received.Load()
	before, err := daemonCPU(pid)
	if err != nil {
		return figures{}, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return figures{}, fmt.Errorf("%v: %w\n%s", args, err, tail(out.String()))
	}
	f := figures{Wall: time.Since(start).Seconds()}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return figures{}, fmt.Errorf("no rusage on this system")
	}
	after, err := daemonCPU(pid)
	if err != nil {
		return figures{}, err
	}
	f.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() + after - before
	f.RSS = (float64(usage.Maxrss) + daemonRSS(pid)) * 1024 / 1e6
	f.Pushed = float64(reg.received.Load()-received) / 1e6
	f.Requests = float64(reg.requests.Load() - requests)
	return f, nil
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// daemonCPU is the time of the daemon and of the children that it has reaped, in seconds.
func daemonCPU(pid int) (float64, error) {
	if pid == 0 {
		return 0, nil
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks float64
	for _, i := range []int{11, 12, 13, 14} { // utime stime cutime cstime, counted from the state
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks / 100, nil
}

// daemonRSS is the daemon's peak, in KB.
func daemonRSS(pid int) float64 {
	if pid == 0 {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	n, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
	return n
}
