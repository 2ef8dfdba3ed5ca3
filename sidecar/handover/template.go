package handover

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// maxTemplate bounds a template, in bytes.
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

// place is where a variable goes: ${PITCREW_GAMESERVER_NAME}, or with what stands for it where it is missing,
// ${PITCREW_GAMESERVER_NAME:-otherwise}.
var place = regexp.MustCompile(`\$\{(` + Prefix + `[A-Z0-9_]+)(:-([^}]*))?\}`)

// Render writes the file To: From with the variables of g in their places. Everything else stays as it is. In a file named *.xml
// they are escaped, for text and for attributes. A variable that is missing and has no default is an error. On an error To
// is as it was.
func (t Template) Render(g sidecar.GameServer) error {
	raw, err := readBounded(t.From)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	values := map[string]string{}
	for _, v := range Variables(g) {
		values[v.Name] = v.Value
	}
	var missing []string
	out := place.ReplaceAllFunc(raw, func(found []byte) []byte {
		m := place.FindSubmatch(found)
		value, ok := values[string(m[1])]
		switch {
		case !ok && m[2] == nil:
			missing = append(missing, string(m[1]))
		case !ok:
			return m[3] // it is written as the file needs it
		case strings.HasSuffix(t.To, ".xml"):
			var escaped bytes.Buffer
			if err := xml.EscapeText(&escaped, []byte(value)); err != nil {
				panic(err) // a buffer takes everything
			}
			return escaped.Bytes()
		}
		return []byte(value)
	})
	if len(missing) > 0 {
		return fmt.Errorf("template %s: the GameServer has no %s; give a default: ${%s:-value}", t.From, strings.Join(missing, ", "), missing[0])
	}
	return Write(t.To, out)
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
