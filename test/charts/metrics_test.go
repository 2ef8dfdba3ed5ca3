package charts_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// scraped are labels that come with the scrape: those that Prometheus' operator adds, and the PodMonitor's.
var scraped = []string{"job", "instance", "namespace", "pod", "container", "node", "component"}

// series are what the products' golden pages of metrics have: for each series its labels with the values seen.
func series(t *testing.T) map[string]map[string][]string {
	t.Helper()
	out := map[string]map[string][]string{"up": {}} // which Prometheus makes
	for _, page := range []string{"warmer/ops/testdata/metrics.golden", "sidecar/ops/testdata/metrics.golden"} {
		f, err := os.Open(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text := expfmt.NewTextParser(model.UTF8Validation)
		families, err := text.TextToMetricFamilies(f)
		if err != nil {
			t.Fatal(err)
		}
		for name, family := range families {
			names := []string{name}
			if family.GetType() == dto.MetricType_HISTOGRAM {
				names = []string{name + "_bucket", name + "_sum", name + "_count"}
			}
			for _, n := range names {
				out[n] = map[string][]string{}
				for _, m := range family.GetMetric() {
					for _, l := range m.GetLabel() {
						out[n][l.GetName()] = append(out[n][l.GetName()], l.GetValue())
					}
				}
				if strings.HasSuffix(n, "_bucket") {
					out[n]["le"] = nil
				}
			}
		}
	}
	return out
}

// words are label values that the golden pages need not show, with where they come from.
var words = map[string][]string{
	"pitcrew_sidecar_phase/phase": {"booting"}, // docs/sidecar.md, "Its life"
}

// check looks at an expression: its syntax, its series and their labels.
func check(t *testing.T, all map[string]map[string][]string, expr string) {
	t.Helper()
	for _, v := range []string{"$__rate_interval", "$__range"} {
		expr = strings.ReplaceAll(expr, v, "5m")
	}
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return
	}
	allowed := slices.Clone(scraped)
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		selector, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		known, ok := all[selector.Name]
		if !ok {
			t.Errorf("%s: no page of metrics has %s", expr, selector.Name)
			return nil
		}
		for l := range known {
			allowed = append(allowed, l)
		}
		for _, m := range selector.LabelMatchers {
			values, ok := known[m.Name]
			switch {
			case m.Name == model.MetricNameLabel || slices.Contains(scraped, m.Name):
			case !ok:
				t.Errorf("%s: %s has no label %s", expr, selector.Name, m.Name)
			case m.Type == labels.MatchEqual && !slices.Contains(append(values, words[selector.Name+"/"+m.Name]...), m.Value):
				t.Errorf("%s: %s is never %s", expr, m.Name, m.Value)
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		var by []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			by = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				by = n.VectorMatching.MatchingLabels
			}
		}
		for _, l := range by {
			if !slices.Contains(allowed, l) {
				t.Errorf("%s: goes by %s, which none of its series has", expr, l)
			}
		}
		return nil
	})
}

func groups(t *testing.T, raw []byte) *rulefmt.RuleGroups {
	t.Helper()
	out, errs := rulefmt.Parse(raw, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	return out
}

func TestAlertsAreWhatPrometheusTakes(t *testing.T) {
	rule := as[monitoringv1.PrometheusRule](t, render(t, pitcrew, "prometheusRule: {enabled: true}"), "PrometheusRule", "pitcrew")
	raw, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	all := series(t)
	n := 0
	for _, g := range groups(t, raw).Groups {
		for _, r := range g.Rules {
			n++
			if !regexp.MustCompile(`^Pitcrew[A-Z][A-Za-z]+$`).MatchString(r.Alert) {
				t.Errorf("alert %q: call it PitcrewSomething", r.Alert)
			}
			check(t, all, r.Expr)
			if s := r.Labels["severity"]; s != "warning" && s != "critical" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			for _, a := range []string{"summary", "description"} {
				if r.Annotations[a] == "" {
					t.Errorf("%s has no %s", r.Alert, a)
				}
			}
			if want := "https://github.com/pitcrew-dev/pitcrew/blob/main/docs/operations.md#alert-" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
			}
		}
	}
	if n != 14 {
		t.Errorf("%d alerts, want 14", n)
	}
}

func TestEachAlertHasARunbook(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, m := range regexp.MustCompile(`(?m)^#+ Alert (\w+)$`).FindAllStringSubmatch(string(raw), -1) {
		described = append(described, m[1])
	}
	fired := slices.Collect(names(t, ""))
	slices.Sort(described)
	slices.Sort(fired)
	if !slices.Equal(described, fired) {
		t.Errorf("docs/operations.md has runbooks for %v, alerts are %v", described, fired)
	}
}

func TestAlertsThatAreOffAreLeftOut(t *testing.T) {
	all := slices.Collect(names(t, ""))
	some := slices.Collect(names(t, "prometheusRule: {disabled: [PitcrewImagesLost, PitcrewPlayersCutOff]}"))
	if want := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == "PitcrewImagesLost" || n == "PitcrewPlayersCutOff" }); !slices.Equal(some, want) || len(some) != len(all)-2 {
		t.Errorf("%v, want %v", some, want)
	}
}

func names(t *testing.T, values string) func(func(string) bool) {
	t.Helper()
	rule := as[monitoringv1.PrometheusRule](t, render(t, pitcrew, "prometheusRule: {enabled: true}", values), "PrometheusRule", "pitcrew")
	return func(yield func(string) bool) {
		for _, g := range rule.Spec.Groups {
			for _, r := range g.Rules {
				if !yield(r.Alert) {
					return
				}
			}
		}
	}
}

// The PodMonitor gives the labels that alerts and dashboard go by.
func TestThePodMonitorGivesTheLabels(t *testing.T) {
	m := as[monitoringv1.PodMonitor](t, render(t, pitcrew, "podMonitor: {enabled: true}"), "PodMonitor", "pitcrew-warmer")
	if m.Spec.JobLabel != "app.kubernetes.io/name" {
		t.Errorf("the job is %s", m.Spec.JobLabel)
	}
	var targets []string
	for _, r := range m.Spec.PodMetricsEndpoints[0].RelabelConfigs {
		targets = append(targets, r.TargetLabel)
	}
	if !slices.Equal(targets, []string{"node", "component"}) {
		t.Errorf("labels %v", targets)
	}
	for pod, template := range pods(t, render(t, pitcrew)) {
		for key, v := range m.Spec.Selector.MatchLabels {
			if template.Labels[key] != v {
				t.Errorf("it does not find %s by %s", pod, key)
			}
		}
		ports := template.Spec.Containers[0].Ports
		if template.Labels["app.kubernetes.io/name"] != "pitcrew-warmer" || !strings.Contains(pod, template.Labels["app.kubernetes.io/component"]) || ports[0].Name != *m.Spec.PodMetricsEndpoints[0].Port {
			t.Errorf("%s: labels %v, ports %v", pod, template.Labels, ports)
		}
	}
}

func TestTheDashboardIsOne(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	r := render(t, pitcrew, "dashboard: {enabled: true}")
	raw := r.find(t, "ConfigMap", "pitcrew-dashboard").Object["data"].(object)["pitcrew.json"].(string)
	d, panels := strictly(t, []byte(raw))
	all := series(t)
	ids, queries, used := map[uint32]bool{}, 0, map[string]bool{}
	for i := range panels {
		panel := &panels[i]
		if _, known := cog.ConfigForPanelcfgVariant(panel.Type); !known {
			t.Errorf("Grafana has no panel %s", panel.Type)
		}
		if err := panel.Validate(); err != nil {
			t.Error(err)
		}
		if panel.Title == nil || panel.Description == nil || *panel.Description == "" || ids[*panel.Id] {
			t.Errorf("panel %v: without title or description, or its ID is another's", panel.Id)
		}
		ids[*panel.Id] = true
		if len(panel.queries) == 0 {
			t.Errorf("%s asks nothing", *panel.Title)
		}
		for _, q := range panel.queries {
			queries++
			expr := q.Expr
			for _, v := range d.Templating.List {
				expr = strings.ReplaceAll(expr, "$"+v.Name, ".*")
			}
			check(t, all, expr)
			for name := range all {
				if regexp.MustCompile(`\b` + name + `\b`).MatchString(expr) {
					used[name] = true
				}
			}
		}
	}
	if queries < 20 {
		t.Errorf("%d queries, which cannot be all", queries)
	}
	for _, must := range []string{
		"pitcrew_warmer_images_warm", "pitcrew_warmer_container_starts_total", "pitcrew_warmer_time_to_warm_seconds_bucket", "pitcrew_warmer_reused_bytes_total",
	} {
		if !used[must] {
			t.Errorf("nothing shows %s", must)
		}
	}
}

type panel struct {
	dashboard.Panel
	queries []prometheus.Dataquery
}

// strictly reads a dashboard, its panels and their queries by Grafana's own schema, which names what is missing and what is not
// known. They are read one by one: the SDK takes an empty list of errors for an error and would leave them out.
//
//nolint:staticcheck // what Grafana loads from files and ConfigMaps is version 1 of the model
func strictly(t *testing.T, raw []byte) (d dashboard.Dashboard, panels []panel) {
	t.Helper()
	report := func(what string, err error) {
		t.Helper()
		if err != nil && err.Error() != "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	fields := part[map[string]json.RawMessage](t, raw)
	each := part[[]json.RawMessage](t, fields["panels"])
	delete(fields, "panels")
	rest, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	report("dashboard", d.UnmarshalJSONStrict(rest))
	report("dashboard", d.Validate())
	for _, raw := range each {
		kind := part[struct {
			Type, Title string
			Targets     []json.RawMessage
		}](t, raw)
		if kind.Type == "row" {
			var row dashboard.RowPanel
			report(kind.Title, row.UnmarshalJSONStrict(raw))
			continue
		}
		var p panel
		report(kind.Title, p.UnmarshalJSONStrict(raw))
		for _, target := range kind.Targets {
			var q prometheus.Dataquery
			report(kind.Title, q.UnmarshalJSONStrict(target))
			report(kind.Title, q.Validate())
			p.queries = append(p.queries, q)
		}
		panels = append(panels, p)
	}
	return d, panels
}

func part[T any](t *testing.T, raw []byte) (out T) {
	t.Helper()
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAWrongDashboardIsNoticed(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, wrong := range []string{
		`{"type": "timeseries", "titel": "x"}`,
		`{"type": "stat", "options": {"colourMode": "value"}}`,
		`{"type": "stat", "targets": [{"datasource": {"type": "prometheus"}, "query": "up"}]}`,
	} {
		var p dashboard.Panel
		if err := p.UnmarshalJSONStrict([]byte(wrong)); err == nil || err.Error() == "" {
			t.Errorf("no error from %s", wrong)
		}
	}
}

// The grid of Grafana is 24 wide, and panels that overlap are moved about.
func TestPanelsDoNotOverlap(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(dir(pitcrew), "dashboards/pitcrew.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		g := p.GridPos
		if g.X < 0 || g.X+g.W > 24 || g.W <= 0 || g.H <= 0 {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
