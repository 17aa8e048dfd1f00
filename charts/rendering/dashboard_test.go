package rendering

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// These types have the fields of a dashboard that ours uses, and no others: a field that Grafana's published types (@grafana/schema) do not
// have is lost there without a word, so that a new one has to be looked up before it is added here.
type (
	dashboard struct {
		Title         string   `json:"title"`
		UID           string   `json:"uid"`
		Tags          []string `json:"tags"`
		SchemaVersion int      `json:"schemaVersion"`
		Version       int      `json:"version"`
		Editable      bool     `json:"editable"`
		GraphTooltip  int      `json:"graphTooltip"`
		Refresh       string   `json:"refresh"`
		Timezone      string   `json:"timezone"`
		Time          struct {
			From string `json:"from"`
			To   string `json:"to"`
		} `json:"time"`
		Annotations struct {
			List []struct{} `json:"list"`
		} `json:"annotations"`
		Links      []struct{} `json:"links"`
		Templating struct {
			List []variable `json:"list"`
		} `json:"templating"`
		Panels []panel `json:"panels"`
	}

	dataSource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}

	variable struct {
		Name       string          `json:"name"`
		Label      string          `json:"label"`
		Type       string          `json:"type"`
		Datasource *dataSource     `json:"datasource"`
		Query      json.RawMessage `json:"query"`
		Refresh    int             `json:"refresh"`
		Sort       int             `json:"sort"`
		Multi      bool            `json:"multi"`
		IncludeAll bool            `json:"includeAll"`
		AllValue   string          `json:"allValue"`
		Current    *struct {
			Text  []string `json:"text"`
			Value []string `json:"value"`
		} `json:"current"`
	}

	panel struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Collapsed   *bool  `json:"collapsed"` // rows have it
		GridPos     struct {
			H int `json:"h"`
			W int `json:"w"`
			X int `json:"x"`
			Y int `json:"y"`
		} `json:"gridPos"`
		Datasource  *dataSource `json:"datasource"`
		FieldConfig *struct {
			Defaults struct {
				Unit       string   `json:"unit"`
				Min        *float64 `json:"min"`
				Decimals   *int     `json:"decimals"`
				Thresholds *struct {
					Mode  string      `json:"mode"`
					Steps []threshold `json:"steps"`
				} `json:"thresholds"`
			} `json:"defaults"`
			Overrides []struct{} `json:"overrides"`
		} `json:"fieldConfig"`
		Options *struct { // those of a stat
			ReduceOptions struct {
				Calcs []string `json:"calcs"`
			} `json:"reduceOptions"`
			ColorMode string `json:"colorMode"`
			GraphMode string `json:"graphMode"`
		} `json:"options"`
		Targets []target   `json:"targets"`
		Panels  []struct{} `json:"panels"` // of a row that is folded: none is
	}

	threshold struct {
		Color string   `json:"color"`
		Value *float64 `json:"value"`
	}

	target struct {
		RefID        string     `json:"refId"`
		Datasource   dataSource `json:"datasource"`
		Expr         string     `json:"expr"`
		LegendFormat string     `json:"legendFormat"`
	}
)

// grafanaUnits are the names by which Grafana knows the units that are used; it shows others as a text behind the number.
var grafanaUnits = []string{"reqps", "s", "ms", "short", "percentunit", "bytes"}

// ofGrafana are variables that Grafana itself fills in.
var ofGrafana = []string{"__rate_interval", "__interval", "__range", "__all"}

func decodeDashboard(text []byte) (dashboard, error) {
	var d dashboard
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, err
	}
	if decoder.More() {
		return d, fmt.Errorf("text after the dashboard")
	}
	return d, nil
}

// dashboardTexts are the dashboards as a ConfigMap holds them, since that is what Grafana is given.
func dashboardTexts(t *testing.T, chart string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	o := find(t, of(t, chart, labelled, "router.monitoring.dashboards.enabled=true").objects(t), "ConfigMap/my-release-epp-dashboards")
	for name, text := range dig(t, o.Object, "data").(map[string]any) {
		texts[name] = text.(string)
	}
	return texts
}

// TestDashboardsOfAllCharts: a ConfigMap has every file of the folder, as it is there.
func TestDashboardsOfAllCharts(t *testing.T) {
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	want := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want[filepath.Base(file)] = strings.TrimSpace(string(text))
	}
	for _, chart := range []string{standalone, gateway} {
		got := dashboardTexts(t, chart)
		for name := range got {
			got[name] = strings.TrimSpace(got[name])
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: the ConfigMap has %q, and not what is in the folder: %q", chart, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// TestDashboardLoads: Grafana knows every field, panel, unit and variable of the dashboards.
func TestDashboardLoads(t *testing.T) {
	for name, text := range dashboardTexts(t, standalone) {
		problems := checkDashboard([]byte(text))
		for _, problem := range problems {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

// TestDashboardMistakes: each of these is found.
func TestDashboardMistakes(t *testing.T) {
	text := dashboardTexts(t, standalone)["llm-d-router-epp.json"]
	for _, mistake := range []struct{ old, new, want string }{
		{`"gridPos": {`, `"gridpos": {"h": 1, "w": 1, "x": 0, "y": 0}, "gripPos": {`, "unknown field"},
		{`"id": 3,`, `"id": 2,`, "id 2"},
		{`"unit": "reqps"`, `"unit": "rps"`, `unit "rps"`},
		{`"type": "stat"`, `"type": "singlestat"`, `type "singlestat"`},
		{`"uid": "${datasource}"`, `"uid": "prometheus"`, "data source"},
		{`namespace=~\"$namespace\"`, `namespace=~\"$namepsace\"`, "$namepsace"},
		{`"name": "pool"`, `"name": "pools"`, "$pool"},
		{`"color": "green"`, `"color": "grün"`, "color"},
		{`"value": 0.01`, `"value": 9`, "ascend"},
		{`"calcs": ["lastNotNull"]`, `"calcs": ["newest"]`, "newest"},
		{`"refId": "B"`, `"refId": "A"`, "query A"},
	} {
		broken := strings.Replace(text, mistake.old, mistake.new, 1)
		if broken == text {
			t.Errorf("the dashboard has no %s", mistake.old)
			continue
		}
		if found := strings.Join(checkDashboard([]byte(broken)), "\n"); !strings.Contains(found, mistake.want) {
			t.Errorf("%s in place of %s: found was %q, not %s", mistake.new, mistake.old, found, mistake.want)
		}
	}
}

// asked finds variables in texts of a dashboard.
var asked = regexp.MustCompile(`\$(?:\{(\w+)(?::\w+)?\}|(\w+))`)

// checkDashboard tells all that is wrong with a dashboard, but for its queries.
func checkDashboard(text []byte) (problems []string) {
	d, err := decodeDashboard(text)
	if err != nil {
		return []string{err.Error()}
	}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	// A uid is at most 40 characters long, and Grafana brings an older schema up to date by rules of its own.
	if len(d.UID) < 8 || len(d.UID) > 40 || d.Title == "" || d.SchemaVersion != 41 {
		bad("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	declared := slices.Clone(ofGrafana)
	for _, v := range d.Templating.List {
		declared = append(declared, v.Name)
		if source := v.Type == "datasource"; !source && v.Type != "query" || source == (v.Datasource != nil) {
			bad("variable %s: type %q, data source %v", v.Name, v.Type, v.Datasource)
		}
		if v.Datasource != nil && *v.Datasource != (dataSource{"prometheus", "${datasource}"}) {
			bad("variable %s: data source %v", v.Name, *v.Datasource)
		}
	}
	used := map[string]bool{}
	for _, found := range asked.FindAllSubmatch(text, -1) {
		used[string(found[1])+string(found[2])] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !slices.Contains(declared, name) {
			bad("there is no variable $%s", name)
		}
	}
	for _, v := range d.Templating.List {
		if !used[v.Name] {
			bad("nothing asks for the variable $%s", v.Name)
		}
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] {
			bad("panel %q has the id %d, as another has, or none", p.Title, p.ID)
		}
		ids[p.ID] = true
		for _, problem := range p.check() {
			bad("panel %q: %s", p.Title, problem)
		}
	}
	return problems
}

func (p panel) check() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if row := p.Type == "row"; row != (p.Collapsed != nil) || row && (p.Targets != nil || *p.Collapsed || p.FieldConfig != nil) {
		bad("it is half a row")
	}
	if p.Type == "row" {
		return problems
	}
	if stat := p.Type == "stat"; !stat && p.Type != "timeseries" || stat != (p.Options != nil) {
		bad("type %q, options %v", p.Type, p.Options)
	}
	if p.Datasource == nil || *p.Datasource != (dataSource{"prometheus", "${datasource}"}) {
		bad("data source %v", p.Datasource)
	}
	if p.FieldConfig == nil {
		return append(problems, "no unit")
	}
	if unit := p.FieldConfig.Defaults.Unit; !slices.Contains(grafanaUnits, unit) {
		bad("unit %q", unit)
	}
	if p.Options != nil && !slices.Equal(p.Options.ReduceOptions.Calcs, []string{"lastNotNull"}) {
		bad("it shows %q of its series", p.Options.ReduceOptions.Calcs)
	}
	if limits := p.FieldConfig.Defaults.Thresholds; limits != nil {
		for i, step := range limits.Steps {
			if !slices.Contains([]string{"green", "orange", "red", "blue"}, step.Color) {
				bad("color %q", step.Color)
			}
			// The first has no value: it is from minus infinity on, which JSON cannot say.
			if (i == 0) != (step.Value == nil) || i > 1 && *step.Value <= *limits.Steps[i-1].Value {
				bad("the thresholds do not ascend")
			}
		}
	}
	refs := map[string]bool{}
	for _, t := range p.Targets {
		if t.RefID == "" || refs[t.RefID] || t.Datasource != (dataSource{"prometheus", "${datasource}"}) || t.LegendFormat == "" {
			bad("query %s: data source %v, legend %q", t.RefID, t.Datasource, t.LegendFormat)
		}
		refs[t.RefID] = true
	}
	return problems
}
