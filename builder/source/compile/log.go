package compile

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	keptLogs  = 50
	tailLines = 30
	tailBytes = 64 << 10
)

// openLog makes the file for what the command prints, and removes the oldest logs beyond keptLogs.
func (r *Resolved) openLog(key v1.Hash) (*os.File, error) {
	dir := filepath.Join(r.options.CacheDir, folder, logsName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	forgetLogs(dir, keptLogs-1)
	platform := strings.ReplaceAll(r.platform.String(), "/", "-")
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%s-%.12s.log", r.options.Phase, platform, key.Hex)))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	return f, nil
}

// forgetLogs removes all but the newest. What cannot be removed does no harm.
func forgetLogs(dir string, keep int) {
	type log struct {
		name string
		time int64
	}
	var logs []log
	found, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range found {
		if info, err := f.Info(); err == nil && strings.HasSuffix(f.Name(), ".log") {
			logs = append(logs, log{f.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(logs, func(a, b log) int { return cmp.Compare(b.time, a.time) })
	for _, l := range logs[min(keep, len(logs)):] {
		_ = os.Remove(filepath.Join(dir, l.name)) // see above
	}
}

// tail is the end of a log, for an error.
func tail(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-tailBytes), tailBytes))
	if err != nil {
		return err.Error()
	}
	return lastLines(raw, tailLines)
}

// lastLines are the last n lines as text that a terminal can show, without control characters.
func lastLines(raw []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(raw, "\n"), []byte("\n"))
	text := bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(string(text), "�"))
}
