package charts_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write testdata anew")

const root = "../.."

// The charts, and what installs each: nothing, and an image.
const (
	pitcrew = "pitcrew"
	stk     = "stk-fleet"
)

var required = map[string]string{pitcrew: "", stk: "image: r.test/stk-server:1.4"}

func dir(name string) string { return filepath.Join(root, "charts", name) }

func load(t testing.TB, name string) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir(name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values parses YAML documents and puts each over those before it.
func values(t testing.TB, documents ...string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, d := range documents {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(d), &m); err != nil {
			t.Fatalf("%v in\n%s", err, d)
		}
		out = loader.MergeMaps(out, m)
	}
	return out
}

// release is what a chart makes of values.
type release struct {
	// text is the manifests one after the other, in the order of their file names.
	text    string
	notes   string
	objects []*unstructured.Unstructured
}

// try renders a chart as release "r" in namespace "ns", with what it requires.
func try(t testing.TB, name string, documents ...string) (*release, error) {
	t.Helper()
	c := load(t, name)
	options := common.ReleaseOptions{Name: "r", Namespace: "ns", Revision: 1, IsInstall: true}
	v, err := util.ToRenderValues(c, values(t, append([]string{required[name]}, documents...)...), options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, v)
	if err != nil {
		return nil, err
	}
	out := &release{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		switch content := strings.TrimSpace(files[path]); {
		case strings.HasSuffix(path, "NOTES.txt"):
			out.notes = content
		case content != "":
			out.text += "# " + path + "\n" + content + "\n"
			objects, err := decode(content)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", path, err, content)
			}
			out.objects = append(out.objects, objects...)
		}
	}
	return out, nil
}

func render(t testing.TB, name string, documents ...string) *release {
	t.Helper()
	r, err := try(t, name, documents...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// decode refuses keys that come twice.
func decode(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		raw, err := d.Read()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(raw, &u.Object); err != nil {
			return nil, err
		}
		if u.Object != nil {
			out = append(out, u)
		}
	}
}

// find is the object of a kind and name.
func (r *release) find(t testing.TB, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range r.objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("no %s %s among %s", kind, name, r.names())
	return nil
}

// names are all objects' kinds and names.
func (r *release) names() []string {
	var out []string
	for _, o := range r.objects {
		out = append(out, o.GetKind()+"/"+o.GetName())
	}
	return out
}
