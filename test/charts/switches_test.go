package charts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/rogpeppe/go-internal/diff"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	path = filepath.Join("testdata", path)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(path, want, "rendered", []byte(got)); d != nil {
		t.Errorf("it renders something else; if that is meant, go test -update:\n%s", d)
	}
}

// own is what a chart renders besides the copies of config/, of which another test says that they are the same.
func (r *release) own() string {
	var out strings.Builder
	for _, file := range strings.SplitAfter(r.text, "\n# ") {
		file = strings.TrimSuffix(file, "# ")
		if first, _, _ := strings.Cut(file, "\n"); !strings.HasSuffix(first, "/crds.yaml") {
			out.WriteString("# " + strings.TrimPrefix(file, "# "))
		}
	}
	return out.String()
}

func TestDefaults(t *testing.T) {
	for name := range switches {
		t.Run(name, func(t *testing.T) {
			r := render(t, name)
			golden(t, filepath.Join(name, "defaults.yaml"), r.own())
			golden(t, filepath.Join(name, "notes.txt"), r.notes+"\n")
		})
	}
}

func TestEachSwitchChangesThis(t *testing.T) {
	for name, cases := range switches {
		defaults := render(t, name)
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				r := render(t, name, c.values)
				changed, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(all(defaults)), B: difflib.SplitLines(all(r)), Context: 2})
				if err != nil {
					t.Fatal(err)
				}
				if changed == "" {
					t.Fatalf("nothing changes with %s", c.values)
				}
				golden(t, filepath.Join(name, strings.ReplaceAll(c.name, " ", "-")+".diff"), "values: "+c.values+"\n"+changed)
			})
		}
	}
}

// all is what a release renders, with the CRDs' heads only.
func all(r *release) string {
	var out strings.Builder
	out.WriteString(r.own())
	for _, o := range r.objects {
		if o.GetKind() == "CustomResourceDefinition" {
			out.WriteString(fmt.Sprintf("# %s %s %v %v\n", o.GetKind(), o.GetName(), o.GetLabels(), o.GetAnnotations()))
		}
	}
	return out.String() + "# notes\n" + r.notes + "\n"
}

func TestNoGoldenIsLeftOver(t *testing.T) {
	for name, cases := range switches {
		want := []string{"defaults.yaml", "notes.txt"}
		for _, c := range cases {
			want = append(want, strings.ReplaceAll(c.name, " ", "-")+".diff")
		}
		entries, err := os.ReadDir(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains(want, e.Name()) {
				t.Errorf("testdata/%s/%s is no case's", name, e.Name())
			}
		}
	}
}

func TestWhatDoesNotGoTogether(t *testing.T) {
	for name, cases := range failures {
		for _, c := range cases {
			t.Run(name+"/"+c.values, func(t *testing.T) {
				_, err := try(t, name, c.values)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("it says %v, want %q", err, c.want)
				}
			})
		}
	}
}

func TestWhatNoSchemaAdmits(t *testing.T) {
	for name, cases := range refused {
		for _, c := range cases {
			t.Run(name+"/"+c.values, func(t *testing.T) {
				_, err := try(t, name, c.values)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("it says %v, want %q", err, c.want)
				}
			})
		}
	}
}

// Each fail of a template is in the table above.
func TestEveryFailureIsTried(t *testing.T) {
	for name, cases := range failures {
		templates, err := filepath.Glob(filepath.Join(dir(name), "templates", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range templates {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range fails.FindAllStringSubmatch(string(raw), -1) {
				format := call[1]
				if strings.HasPrefix(format, "%s: %s\"") { // a file of the chart's own that is no YAML
					continue
				}
				tried := slices.ContainsFunc(cases, func(c struct{ values, want string }) bool { return matches(format, c.want) })
				if !tried {
					t.Errorf("%s: no case provokes: %s", path, format)
				}
			}
		}
	}
}

func TestLint(t *testing.T) {
	for name, cases := range switches {
		for _, c := range append([]switched{{"defaults", ""}}, cases...) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				for _, m := range lint.RunAll(dir(name), values(t, required[name], c.values), "ns").Messages {
					if m.Severity > support.InfoSev {
						t.Error(m)
					}
				}
			})
		}
	}
}
