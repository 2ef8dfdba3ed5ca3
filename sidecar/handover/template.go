package handover

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// maxTemplate bounds a template, and what becomes of it, in bytes.
const maxTemplate = 1 << 20

// Template is a file that is made of another one before the game starts.
type Template struct{ From, To string }

// ParseTemplate reads FROM=TO.
func ParseTemplate(text string) (Template, error) {
	from, to, ok := strings.Cut(text, "=")
	if !ok || from == "" || to == "" {
		return Template{}, fmt.Errorf("template %q: write FROM=TO, two files", text)
	}
	return Template{From: from, To: to}, nil
}

// Render writes the file To. From is a text/template whose data are the fields of [sidecar.GameServer], with the functions
//
//	label KEY, annotation KEY   their value, empty if there is none
//	port [NAME]                 the public port of that name, or the first; 0 if there is none
//	capacity LIST               the capacity of a list; 0 if there is none
//	or VALUE OTHERWISE          OTHERWISE if VALUE is empty or 0
//	xml VALUE                   VALUE escaped for XML, in text and in attributes
//
// What a file named *.xml becomes must be well-formed XML: a value that was not escaped is found here, not by the game. On an
// error To is as it was.
func (t Template) Render(g sidecar.GameServer) error {
	raw, err := readBounded(t.From)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	tmpl, err := template.New(filepath.Base(t.From)).Option("missingkey=error").Funcs(functions(g)).Parse(string(raw))
	if err != nil {
		return err
	}
	out := bounded{}
	if err := tmpl.Execute(&out, g); err != nil {
		return err
	}
	if strings.HasSuffix(t.To, ".xml") {
		if err := wellFormed(out.Bytes()); err != nil {
			return fmt.Errorf("template %s makes no well-formed XML: %w; escape values: {{xml (label \"key\")}}", t.From, err)
		}
	}
	return Write(t.To, out.Bytes())
}

func functions(g sidecar.GameServer) template.FuncMap {
	return template.FuncMap{
		"label":      func(k string) string { return g.Labels[k] },
		"annotation": func(k string) string { return g.Annotations[k] },
		"capacity":   func(list string) int64 { return g.Lists[list].Capacity },
		"port": func(name ...string) int32 {
			for _, p := range g.Ports {
				if len(name) == 0 || p.Name == name[0] {
					return p.Port
				}
			}
			return 0
		},
		"xml": func(v any) (string, error) {
			var b bytes.Buffer
			err := xml.EscapeText(&b, fmt.Append(nil, v))
			return b.String(), err
		},
	}
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	if err == nil && len(raw) > maxTemplate {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxTemplate)
	}
	return raw, err
}

// bounded is a buffer that a template cannot fill without end.
type bounded struct{ bytes.Buffer }

var errTooLong = errors.New("it becomes larger than a configuration file can be")

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxTemplate {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

func wellFormed(raw []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(raw)); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
