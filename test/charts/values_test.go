package charts_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

func schemaOf(t *testing.T, name string) object {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir(name), "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// closable are places of a schema whose names are the user's: labels and the like, and what is Helm's.
var closable = regexp.MustCompile(`(?i)(labels|annotations|nodeSelector|serverConfig|global|limits|requests|matchLabels)$`)

func TestSchemasAreClosed(t *testing.T) {
	for name := range switches {
		schema := schemaOf(t, name)
		seen := 0
		var walk func(path string, s object)
		walk = func(path string, s object) {
			if s["type"] == "object" || s["properties"] != nil {
				seen++
				extra := s["additionalProperties"]
				if _, typed := extra.(object); extra != false && !(typed && closable.MatchString(path)) && !strings.HasSuffix(path, ".global") {
					t.Errorf("%s: %s takes properties that nobody knows", name, path)
				}
			}
			for key, v := range s {
				switch v := v.(type) {
				case object:
					if key == "properties" || key == "$defs" {
						for p, sub := range v {
							walk(path+"."+p, sub.(object))
						}
					} else if key == "items" || key == "additionalProperties" {
						walk(path+"[]", v)
					}
				case []any:
					for _, e := range v {
						if sub, ok := e.(object); ok {
							walk(path, sub)
						}
					}
				}
			}
		}
		walk("", schema)
		if seen < 20 {
			t.Errorf("%s: %d objects in the schema were looked at, which cannot be all", name, seen)
		}
	}
}

// leaves are the paths of values in YAML, and of the schema's properties: objects with names of their own are left whole.
func leaves(t *testing.T, name string) (inValues, inSchema []string) {
	t.Helper()
	var ofSchema func(path string, s object)
	ofSchema = func(path string, s object) {
		properties, ok := s["properties"].(object)
		if !ok {
			inSchema = append(inSchema, path)
			return
		}
		for p, sub := range properties {
			ofSchema(strings.TrimPrefix(path+"."+p, "."), sub.(object))
		}
	}
	schema := schemaOf(t, name)
	delete(schema["properties"].(object), "global")
	ofSchema("", schema)
	var ofValues func(path string, v any)
	ofValues = func(path string, v any) {
		m, ok := v.(object)
		if !ok || slices.Contains(inSchema, path) {
			inValues = append(inValues, path)
			return
		}
		for k, sub := range m {
			ofValues(strings.TrimPrefix(path+"."+k, "."), sub)
		}
		if len(m) == 0 { // an object whose parts have no default
			inValues = append(inValues, path)
		}
	}
	ofValues("", load(t, name).Values)
	slices.Sort(inValues)
	slices.Sort(inSchema)
	return inValues, inSchema
}

// optional are parts of values that are merged into another, so that they have no defaults.
func optional(path string) bool {
	return strings.HasPrefix(path, "agent.architectures.") && strings.Contains(path, ".pace.")
}

func TestSchemaAndValuesNameTheSame(t *testing.T) {
	for name := range switches {
		inValues, inSchema := leaves(t, name)
		for _, p := range inSchema {
			if !slices.Contains(inValues, p) && !optional(p) {
				t.Errorf("%s: %s is in the schema and has no default", name, p)
			}
		}
		for _, p := range inValues {
			if !slices.Contains(inSchema, p) && !strings.HasSuffix(p, ".pace") {
				t.Errorf("%s: %s has a default and is not in the schema", name, p)
			}
		}
	}
}

func TestEveryValueIsSwitchedSomewhere(t *testing.T) {
	for name, cases := range switches {
		var set []string
		var walk func(path string, v any)
		walk = func(path string, v any) {
			set = append(set, path)
			if m, ok := v.(object); ok {
				for k, sub := range m {
					walk(strings.TrimPrefix(path+"."+k, "."), sub)
				}
			}
		}
		for _, c := range cases {
			walk("", values(t, c.values))
		}
		inValues, _ := leaves(t, name)
		for _, p := range inValues {
			if !slices.Contains(set, p) {
				t.Errorf("%s: no case sets %s", name, p)
			}
		}
	}
}

// Each value has a comment of its own, of which the README is made, or is part of one that has.
func TestEveryValueIsDocumented(t *testing.T) {
	for name := range switches {
		raw, err := os.ReadFile(filepath.Join(dir(name), "values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(raw, &document); err != nil {
			t.Fatal(err)
		}
		var undocumented func(path string, n *yaml.Node)
		undocumented = func(path string, n *yaml.Node) {
			for i := 0; i+1 < len(n.Content); i += 2 {
				key, value := n.Content[i], n.Content[i+1]
				at := strings.TrimPrefix(path+"."+key.Value, ".")
				switch documented := strings.Contains(key.HeadComment, "# -- "); {
				case documented:
				case value.Kind == yaml.MappingNode && len(value.Content) > 0:
					undocumented(at, value)
				default:
					t.Errorf("%s: %s has no comment that begins with # --", name, at)
				}
			}
		}
		undocumented("", document.Content[0])
	}
}

// What kubectl applies and what a release has is the same, but for namespace, labels and annotations.
func TestWhatIsInConfigIsInTheChart(t *testing.T) {
	r := render(t, pitcrew)
	n := 0
	for _, folder := range []string{"crd", "rbac"} {
		files, err := filepath.Glob(filepath.Join(root, "config", folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("config/%s: %d files, %v", folder, len(files), err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := decode(string(raw))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range objects {
				n++
				got := r.find(t, want.GetKind(), want.GetName()).DeepCopy()
				if ns := got.GetNamespace(); (want.GetNamespace() != "") != (ns == "ns") {
					t.Errorf("%s %s is in namespace %q", got.GetKind(), got.GetName(), ns)
				}
				for key, v := range want.GetAnnotations() {
					if got.GetAnnotations()[key] != v {
						t.Errorf("%s %s lacks annotation %s", got.GetKind(), got.GetName(), key)
					}
				}
				for _, subjects := range [][]any{list(want.Object["subjects"]), list(got.Object["subjects"])} {
					for _, s := range subjects {
						delete(s.(object), "namespace")
					}
				}
				for _, o := range []object{want.Object, got.Object} {
					delete(o, "metadata")
				}
				if !reflect.DeepEqual(got.Object, want.Object) {
					t.Errorf("%s: %v differs from the chart's", f, want)
				}
			}
		}
	}
	if n < 12 {
		t.Errorf("%d objects compared, want 12 or more", n)
	}
	for _, s := range []string{"pitcrew-warmer-agent", "pitcrew-warmer-controller"} {
		for _, subject := range list(r.find(t, "ClusterRoleBinding", s).Object["subjects"]) {
			if subject.(object)["namespace"] != "ns" {
				t.Errorf("ClusterRoleBinding %s names %v", s, subject)
			}
		}
	}
}

func list(v any) []any {
	out, _ := v.([]any)
	return out
}
