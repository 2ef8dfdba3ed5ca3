package sbom

import (
	"cmp"
	"io"
	"slices"
	"strings"
)

// readStatus reads dpkg's database, or a part of it: paragraphs of fields. What has no name or version, or is not
// installed, is passed over.
func readStatus(f *Finding, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return err
	}
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		fields := fieldsOf(paragraph)
		d := Deb{fields["package"], fields["version"], fields["architecture"]}
		installed := fields["status"] == "" || strings.HasSuffix(fields["status"], " installed")
		if d.Name != "" && d.Version != "" && installed {
			f.Debs = append(f.Debs, d)
		}
	}
	slices.SortFunc(f.Debs, compareDebs)
	f.Debs = slices.Compact(f.Debs)
	return nil
}

func compareDebs(a, b Deb) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Architecture, b.Architecture), strings.Compare(a.Version, b.Version))
}

// fieldsOf are the first lines of a paragraph's fields, by their names in lower case.
func fieldsOf(paragraph string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(paragraph) {
		name, value, ok := strings.Cut(line, ":")
		if ok && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			fields[strings.ToLower(name)] = strings.TrimSpace(value)
		}
	}
	return fields
}

// readRelease reads os-release(5).
func readRelease(f *Finding, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = strings.Trim(value, `"'`)
	}
	f.System = values["ID"]
	if f.System != "" && values["VERSION_ID"] != "" {
		f.System += "-" + values["VERSION_ID"]
	}
	return nil
}
