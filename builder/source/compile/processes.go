package compile

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// mostWait bounds how long killed processes may take to be gone.
const mostWait = 2 * time.Second

// endProcesses kills the processes that were started in a scratch folder and left their group, or lost their builder:
// those whose TMPDIR is in it. It returns when they are gone. Where there is no /proc there is nothing to look at.
func endProcesses(scratch string) {
	mark := []byte("\x00TMPDIR=" + filepath.Join(scratch, tempName) + "\x00")
	for wait := time.Millisecond; kill(mark) > 0 && wait < mostWait; wait *= 2 {
		time.Sleep(wait)
	}
}

// kill kills the processes whose environment has the mark, and counts them.
func kill(mark []byte) (killed int) {
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, dir := range found {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !has(dir, mark) {
			continue
		}
		p, err := os.FindProcess(pid) // a handle on this very process: its number cannot be reused under it
		if err != nil {
			continue
		}
		if has(dir, mark) && p.Kill() == nil {
			killed++
		}
		_ = p.Release() // nothing was started
	}
	return killed
}

func has(proc string, mark []byte) bool {
	env, err := os.ReadFile(filepath.Join(proc, "environ"))
	return err == nil && bytes.Contains(append([]byte{0}, env...), mark)
}
