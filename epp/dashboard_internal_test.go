package epp

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/eviction"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
)

const dashboardFile = "../charts/dashboards/llm-d-router-epp.json"

// ofEnvoy are series of proxies, which the dashboard asks for, too. They were seen on the page of Envoy 1.40.
var ofEnvoy = map[string][]string{
	"envoy_http_ext_proc_failure_mode_allowed": {"envoy_http_conn_manager_prefix"},
	"envoy_http_ext_proc_streams_started":      {"envoy_http_conn_manager_prefix"},
	"envoy_http_ext_proc_streams_failed":       {"envoy_http_conn_manager_prefix"},
	"envoy_http_downstream_rq_xx":              {"envoy_http_conn_manager_prefix", "envoy_response_code_class"},
	"envoy_http_downstream_rq_time_bucket":     {"envoy_http_conn_manager_prefix"},
}

// ofEviction are series of flow control that show when a request in flight was revoked.
var ofEviction = map[string][]string{
	"llm_d_epp_flow_control_revocations_issued_total": {"inference_pool", "priority"},
	"llm_d_epp_flow_control_revocations_total":        {"inference_pool", "outcome"},
}

// ofTarget are labels that Prometheus adds.
var ofTarget = []string{"namespace", "le"}

type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
			Datasource struct{ Type, UID string }
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	Targets     []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ Type, UID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboardIsWhole: a panel without a place, an id or a query is not drawn.
func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 39 {
		t.Errorf("title %q, uid %q, schema %d", d.Title, d.UID, d.SchemaVersion)
	}
	var variables []string
	for _, variable := range d.Templating.List {
		variables = append(variables, variable.Name+":"+variable.Type)
		if variable.Type == "query" && variable.Datasource.UID != "${datasource}" {
			t.Errorf("variable %s asks the data source %q", variable.Name, variable.Datasource.UID)
		}
	}
	if want := []string{"datasource:datasource", "namespace:query", "pool:query"}; !slices.Equal(variables, want) {
		t.Errorf("variables %q, want %q", variables, want)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		p.place(t, taken)
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q: %d queries, data source %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		for _, target := range p.Targets {
			if target.RefID == "" || target.LegendFormat == "" || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: query %+v", p.Title, target)
			}
		}
	}
}

// place takes the panel's cells of the grid, which is 24 wide.
func (p panel) place(t *testing.T, taken map[[2]int]string) {
	t.Helper()
	if p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("panel %q is at %+v", p.Title, p.GridPos)
	}
	for x := range p.GridPos.W {
		for y := range p.GridPos.H {
			cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
			if other := taken[cell]; other != "" {
				t.Errorf("panel %q lies over %q", p.Title, other)
				return
			}
			taken[cell] = p.Title
		}
	}
}

// TestDashboardAsksForWhatThereIs compares every query with the page of a picker that has all features on.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	series := shown(t, busyPicker(t, false).page())
	maps.Copy(series, flowControlSeries(t))
	maps.Copy(series, ofEviction)
	maps.Copy(series, ofEnvoy)
	d := readDashboard(t)
	queries := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries++
			if problem := checkQuery(target.Expr, target.LegendFormat, series); problem != "" {
				t.Errorf("panel %q: %s: %s", p.Title, problem, target.Expr)
			}
		}
	}
	for _, variable := range d.Templating.List {
		asked, ok := variable.Query.(map[string]any)
		if !ok {
			continue
		}
		parts := labelValues.FindStringSubmatch(asked["query"].(string))
		if parts == nil || series[parts[1]] == nil || !slices.Contains(append(series[parts[1]], ofTarget...), parts[2]) {
			t.Errorf("variable %s asks for %v", variable.Name, asked["query"])
		}
	}
	if queries < 60 {
		t.Errorf("%d queries are too few to be all", queries)
	}
}

var (
	labelValues = regexp.MustCompile(`^label_values\((\w+)(?:\{.*\})?, (\w+)\)$`)
	selector    = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\{([^{}]*)\}`)
	matcher     = regexp.MustCompile(`^(\w+)(=~|=)"[^"]*"$`)
	grouping    = regexp.MustCompile(`\bby \(([^()]*)\)`)
	legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)
	// frame is what is left of a query without its selectors and groupings: functions, numbers, and how they are put together.
	frame = regexp.MustCompile(`^(?:sum|max|min|count|rate|increase|histogram_quantile|S|or vector\(0\)|\[\$__rate_interval\]|\d+(?:\.\d+)?|[(),/+ ])*$`)
)

// checkQuery tells what is wrong with a query, of the small part of PromQL that the dashboard keeps to.
func checkQuery(query, legend string, series map[string][]string) string {
	var known []string
	for _, found := range selector.FindAllStringSubmatch(query, -1) {
		name, matchers := found[1], found[2]
		labels, ok := series[name]
		if !ok {
			return "there is no series " + name
		}
		labels = append(slices.Clone(labels), ofTarget...)
		known = append(known, labels...)
		if !strings.HasPrefix(matchers, `namespace=~"$namespace"`) {
			return name + " is not asked for by namespace"
		}
		for _, text := range strings.Split(matchers, ",") {
			parts := matcher.FindStringSubmatch(text)
			if parts == nil || !slices.Contains(labels, parts[1]) {
				return name + " has no label for " + text
			}
		}
		if strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") {
			if !strings.Contains(query, found[0]+"[") {
				return name + " is a counter that is not asked for its rate"
			}
		}
	}
	var groups []string
	for _, found := range grouping.FindAllStringSubmatch(query, -1) {
		groups = append(groups, strings.Split(found[1], ", ")...)
	}
	for _, found := range legendLabel.FindAllStringSubmatch(legend, -1) {
		groups = append(groups, found[1])
		if strings.Contains(query, "sum") && !strings.Contains(query, "by (") {
			return "the legend has a label that the sum does not"
		}
	}
	for _, label := range groups {
		if !slices.Contains(known, label) {
			return "no series has the label " + label
		}
	}
	rest := grouping.ReplaceAllString(selector.ReplaceAllString(query, "S"), "")
	if len(known) == 0 || !frame.MatchString(rest) || strings.Count(rest, "(") != strings.Count(rest, ")") {
		return "cannot be read (" + rest + ")"
	}
	return ""
}

// TestCheckQuery: the check is worth nothing unless it finds mistakes.
func TestCheckQuery(t *testing.T) {
	series := map[string][]string{"a_total": {"code"}, "b_bucket": {"le"}}
	const n = `namespace=~"$namespace"`
	for query, good := range map[string]bool{
		`sum by (code) (rate(a_total{` + n + `}[$__rate_interval]))`:                                   true,
		`histogram_quantile(0.5, sum by (le) (rate(b_bucket{` + n + `}[$__rate_interval])))`:           true,
		`sum(rate(a_total{` + n + `,code="OK"}[$__rate_interval]))`:                                    true,
		`sum(rate(a_totals{` + n + `}[$__rate_interval]))`:                                             false,
		`sum(rate(a_total[$__rate_interval]))`:                                                         false,
		`sum(rate(a_total{code="OK"}[$__rate_interval]))`:                                              false,
		`sum(a_total{` + n + `})`:                                                                      false,
		`sum by (cod) (rate(a_total{` + n + `}[$__rate_interval]))`:                                    false,
		`sum(rate(a_total{` + n + `,cod="OK"}[$__rate_interval]))`:                                     false,
		`sum(rate(a_total{` + n + `}[$__rate_interval])`:                                               false,
		`sum(rate(a_total{` + n + `}[$__rate_interval])) / sum(rate(missing[$__rate_interval]))`:       false,
		`sum(rates(a_total{` + n + `}[$__rate_interval]))`:                                             false,
		`sum(rate(a_total{` + n + `}[$__rate_interval])) / sum(rate(x_total{` + n + `}[$__interval]))`: false,
		`vector(1)`: false,
	} {
		if problem := checkQuery(query, "", series); (problem == "") != good {
			t.Errorf("%s: %q", query, problem)
		}
	}
	if checkQuery(`sum(rate(a_total{`+n+`}[$__rate_interval]))`, "{{code}}", series) == "" {
		t.Error("a label in a legend that the sum does not have is not found")
	}
}

// flowControlSeries are those of flow control while a request waits and after it went through.
func flowControlSeries(t *testing.T) map[string][]string {
	t.Helper()
	limit, err := usagelimit.NewStatic(nil)
	if err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	registry := prometheus.NewRegistry()
	controller, err := flowcontrol.New(flowcontrol.Options{
		Saturation: func(string, flowcontrol.Load) flowcontrol.Reading {
			if full.Load() {
				return flowcontrol.Reading{Level: 1, Endpoints: 1}
			}
			return flowcontrol.Reading{Endpoints: 1}
		},
		Default:    flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.FCFS{}},
		UsageLimit: limit,
		Eviction:   &flowcontrol.Eviction{Filter: eviction.Sheddable{}, Ordering: eviction.PriorityThenTime{}},
		Registerer: registry,
		Detector:   "utilization-detector",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer controller.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	through := make(chan error, 1)
	go func() {
		ticket, err := controller.Admit(ctx, flowcontrol.Request{Pool: "ns/pool", Model: "m", TargetModel: "t", Bytes: 1})
		if err == nil {
			ticket.Placed()
			ticket.Release(flowcontrol.Usage{Input: -1, Output: -1})
		}
		through <- err
	}()
	for controller.Waiting() == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	series := shown(t, registry)
	full.Store(false)
	controller.Changed("ns/pool")
	if err := <-through; err != nil {
		t.Fatal(err)
	}
	maps.Copy(series, shown(t, registry))
	return series
}
