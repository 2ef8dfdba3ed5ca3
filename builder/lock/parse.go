package lock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Bounds on hostile or damaged input.
const (
	maxLine   = 64 << 10
	maxFaults = 20
)

const hint = "take the file from the last good commit, or delete it: the next build then plans the layers afresh"

// Parse reads a lock. It reports all faults together, at most 20, as a Config error with file and line.
func Parse(name string, r io.Reader) (*Lock, error) {
	p := &parser{name: name, layers: map[int]bool{}}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	for in.Scan() && len(p.faults) < maxFaults {
		p.line++
		if err := p.parse(in.Text()); err != nil {
			p.faults = append(p.faults, fmt.Sprintf("%s:%d: %v", name, p.line, err))
			if errors.Is(err, errFatal) {
				break
			}
		}
	}
	if err := in.Err(); err != nil {
		return nil, builder.Errorf(builder.Config, hint, "%s:%d: %w", name, p.line+1, err)
	}
	if p.line == 0 {
		p.faults = append(p.faults, name+": is empty")
	}
	if len(p.faults) == 0 {
		p.crossCheck()
	}
	if len(p.faults) > 0 {
		return nil, builder.Errorf(builder.Config, hint, "%s", strings.Join(p.faults, "\n"))
	}
	return &p.lock, nil
}

var errFatal = errors.New("the rest was not read")

type parser struct {
	name   string
	line   int
	lock   Lock
	layers map[int]bool
	faults []string
}

func (p *parser) parse(line string) error {
	if p.line == 1 {
		if !strings.HasPrefix(line, firstLine) {
			return fmt.Errorf("not an assets.lock of a version that this builder knows (want %q): %w", firstLine, errFatal)
		}
		return nil
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "class":
		return p.class(rest)
	case "image":
		return p.image(rest)
	case "layer":
		return p.layer(rest)
	case "f", "d", "l", "h":
		return p.file(word[0], rest)
	case "gone":
		return p.gone(rest)
	case "<<<<<<<", "=======", ">>>>>>>":
		return fmt.Errorf("a merge conflict is not resolved: %w", errFatal)
	default:
		return fmt.Errorf("unknown line %.40q", line)
	}
}

func (p *parser) class(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 3 || f[1] != "store" && f[1] != "zstd" {
		return errors.New("want: class EXT store|zstd RATIO")
	}
	ratio, err := strconv.ParseFloat(f[2], 64)
	if err != nil || !(ratio >= 0 && ratio < 1000) {
		return fmt.Errorf("ratio %q is not a number from 0 to 1000", f[2])
	}
	p.lock.Classes = append(p.lock.Classes, Class{Ext: f[0], Store: f[1] == "store", Ratio: int(ratio*1000 + 0.5)})
	return nil
}

func (p *parser) image(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 2 {
		return errors.New("want: image NAME DIGEST")
	}
	digest, err := v1.NewHash(f[1])
	if err != nil {
		return err
	}
	p.lock.Images = append(p.lock.Images, Image{Name: f[0], Digest: digest})
	return nil
}

func (p *parser) layer(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 7 {
		return errors.New("want: layer ID KIND CODEC KEY DIGEST DIFFID SIZE")
	}
	id, err := number(f[0])
	if err != nil {
		return err
	}
	if f[1] != "base" && f[1] != "delta" {
		return fmt.Errorf("layer kind %q is not known", f[1])
	}
	if p.layers[int(id)] {
		return fmt.Errorf("layer %d is there twice", id)
	}
	p.layers[int(id)] = true
	y := Layer{ID: int(id), Kind: f[1], Codec: f[2]}
	for i, into := range []*v1.Hash{&y.Key, &y.Digest, &y.DiffID} {
		if *into, err = v1.NewHash(f[3+i]); err != nil {
			return err
		}
	}
	if y.Size, err = number(f[6]); err != nil {
		return err
	}
	p.lock.Layers = append(p.lock.Layers, y)
	return nil
}

func (p *parser) file(kind byte, rest string) error {
	f := strings.SplitN(rest, " ", 5)
	if len(f) != 5 {
		return errors.New("want: TYPE LAYER MODE SIZE SHA256 PATH")
	}
	id, err := number(f[0])
	if err != nil {
		return err
	}
	out := File{Layer: int(id), Type: kind, SHA256: f[3]}
	if out.Mode, out.UID, out.GID, err = mode(f[1]); err != nil {
		return err
	}
	if out.Size, err = number(f[2]); err != nil {
		return err
	}
	if _, err := v1.NewHash("sha256:" + f[3]); err != nil && !(kind != 'f' && f[3] == "-") {
		return fmt.Errorf("%q is not a sha256", f[3])
	}
	if out.Path, err = unquote(f[4]); err != nil {
		return err
	}
	p.lock.Files = append(p.lock.Files, out)
	return nil
}

// mode parses MODE or MODE:UID:GID.
func mode(s string) (bits uint32, uid, gid int, err error) {
	f := strings.Split(s, ":")
	n, err := strconv.ParseUint(f[0], 8, 12)
	if err != nil || len(f) != 1 && len(f) != 3 {
		return 0, 0, 0, fmt.Errorf("mode %q is not octal, or octal:uid:gid", s)
	}
	if len(f) == 1 {
		return uint32(n), 0, 0, nil
	}
	u, err := number(f[1])
	g, err2 := number(f[2])
	if err = errors.Join(err, err2); err != nil || u+g == 0 || u > math.MaxInt32 || g > math.MaxInt32 {
		return 0, 0, 0, fmt.Errorf("owner %s:%s is none", f[1], f[2])
	}
	return uint32(n), int(u), int(g), nil
}

func (p *parser) gone(rest string) error {
	layer, name, _ := strings.Cut(rest, " ")
	id, err := number(layer)
	if err != nil {
		return err
	}
	if name, err = unquote(name); err != nil {
		return err
	}
	p.lock.Gone = append(p.lock.Gone, Gone{Layer: int(id), Path: name})
	return nil
}

func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

func unquote(s string) (string, error) {
	name := s
	if strings.HasPrefix(s, `"`) {
		var err error
		if name, err = strconv.Unquote(s); err != nil {
			return "", fmt.Errorf("path %.60s is not quoted rightly", s)
		}
	}
	if name == "" || name != path.Clean(name) || path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") {
		return "", fmt.Errorf("path %.60q is not a clean relative path", name)
	}
	return name, nil
}

// crossCheck holds what the lines say of each other.
func (p *parser) crossCheck() {
	for _, f := range p.lock.Files {
		if !p.layers[f.Layer] {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s lies in layer %d, which no line describes", p.name, f.Path, f.Layer))
		}
		if len(p.faults) >= maxFaults {
			return
		}
	}
	for _, g := range p.lock.Gone {
		if !p.layers[g.Layer] {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s is gone in layer %d, which no line describes", p.name, g.Path, g.Layer))
			return
		}
	}
	p.lock.Sort()
	for i := 1; i < len(p.lock.Files); i++ {
		if a, b := p.lock.Files[i-1], p.lock.Files[i]; a.Path == b.Path && a.Layer == b.Layer {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s is there twice in layer %d", p.name, b.Path, b.Layer))
			return
		}
	}
}
