package trace

import (
	"bufio"
	"errors"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Arguments make strace write what [Parse] reads to a file. Names are written as hexadecimal digits, so that none can look like
// anything else, and descriptors with their paths.
func Arguments(file string) []string {
	return []string{"-f", "-qq", "-y", "-xx", "-s", "16384", "-e", "trace=%file", "-e", "signal=none", "-o", file}
}

// maxLine bounds a line of strace's: two arguments of 16 KiB, four letters a byte.
const maxLine = 1 << 20

var (
	callLine    = regexp.MustCompile(`^(\d+) +(?:<\.\.\. )?([a-z0-9_]+)(\(| resumed>)(.*)$`)
	folderPart  = regexp.MustCompile(`^(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>, `)
	pathPart    = regexp.MustCompile(`^"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
	resultPart  = regexp.MustCompile(`\) += (-?\d+)(?:<((?:\\x[0-9a-f]{2})*)>)?(?: (E[A-Z]+))?[^"]*$`)
	unfinished  = " <unfinished ...>"
	opening     = map[string]bool{"open": true, "openat": true, "openat2": true, "execve": true, "execveat": true}
	errNotATree = errors.New("the folder must be an absolute, clean path")
)

// Parse reads what strace wrote, run with [Arguments], and keeps what concerns the folder root: an absolute path without
// symlinks. Lines that it does not understand, such as of exiting processes, are passed over.
func Parse(r io.Reader, root string) (*Trace, error) {
	if !path.IsAbs(root) || path.Clean(root) != root {
		return nil, builder.Errorf(builder.Config, "", "trace of %q: %w", root, errNotATree)
	}
	p := &parser{root: strings.TrimSuffix(root, "/") + "/", collector: newCollector(), pending: map[string]string{}}
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return p.collector.trace(), nil
		}
		if err != nil {
			return nil, builder.Errorf(builder.Input, "", "read the trace: %w", err)
		}
		p.line(line)
	}
}

// readLine returns a line without its end, or "" for one that is too long.
func readLine(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return "", err
		}
		if b.Len() <= maxLine {
			b.Write(part)
		}
		if !more {
			break
		}
	}
	if b.Len() > maxLine {
		return "", nil
	}
	return b.String(), nil
}

type parser struct {
	root      string // with a slash at the end
	collector *collector
	pending   map[string]string // by process, the arguments of its call that is not over
}

func (p *parser) line(line string) {
	m := callLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	process, call, rest := m[1], m[2], m[4]
	if m[3] != "(" {
		rest = p.pending[process] + rest
		delete(p.pending, process)
	}
	if args, ok := strings.CutSuffix(rest, unfinished); ok {
		p.pending[process] = args
		return
	}
	p.call(call, rest)
}

func (p *parser) call(call, args string) {
	folder := ""
	if m := folderPart.FindStringSubmatch(args); m != nil {
		folder, args = unhex(m[1]), args[len(m[0]):]
	}
	asked := pathPart.FindStringSubmatch(args)
	result := resultPart.FindStringSubmatch(args)
	if asked == nil || asked[2] != "" || result == nil {
		return
	}
	name := unhex(asked[1])
	if !path.IsAbs(name) {
		if folder == "" {
			return // relative to nobody knows what
		}
		name = path.Join(folder, name)
	}
	switch missing := result[3] == "ENOENT"; {
	case missing:
		p.note(p.collector.missing, name)
	case result[1] == "-1":
	case !opening[call], strings.Contains(args, "O_DIRECTORY"):
		p.note(p.collector.looked, name)
	default:
		p.note(p.collector.opened, name)
		p.note(p.collector.opened, unhex(result[2])) // where symlinks lead to
	}
}

func (p *parser) note(in map[string]bool, name string) {
	rel, ok := strings.CutPrefix(path.Clean(name), p.root)
	if ok && rel != "" {
		in[rel] = true
	}
}

// unhex reads \x2f\x65…; its form was checked.
func unhex(text string) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(text)/4)
	for i := 0; i+3 < len(text); i += 4 {
		out = append(out, byte(strings.IndexByte(digits, text[i+2])<<4|strings.IndexByte(digits, text[i+3])))
	}
	return string(out)
}
