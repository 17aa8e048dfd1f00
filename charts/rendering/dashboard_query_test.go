package rendering

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// filledIn is what Grafana makes of a query before Prometheus reads it: with everything chosen, variables are patterns.
var filledIn = strings.NewReplacer("$__rate_interval", "1m", "$namespace", ".*", "$pool", ".*")

// TestDashboardQueries: Prometheus' own parser reads every query, and what is done to a series suits its type.
func TestDashboardQueries(t *testing.T) {
	for name, text := range dashboardTexts(t, standalone) {
		d, err := decodeDashboard([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, problem := range checkExpression(q.Expr, q.LegendFormat, p.Type == "stat") {
					t.Errorf("%s: panel %q, query %s: %s", name, p.Title, q.RefID, problem)
				}
			}
		}
	}
}

var legendLabels = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// checkExpression tells what is wrong with a query. One number is what a stat shows.
func checkExpression(query, legend string, one bool) (problems []string) {
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(filledIn.Replace(query))
	if err != nil {
		return []string{err.Error()}
	}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	parser.Inspect(expression, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			if i := slices.IndexFunc(n.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "namespace" && m.Type == labels.MatchRegexp }); i < 0 {
				bad("%s of all namespaces", n.Name)
			}
			if counts, rated := isCounter(n.Name), under(path, "rate", "increase"); counts != rated {
				bad("%s: a counter is shown by its rate, and nothing else is", n.Name)
			}
			if strings.HasSuffix(n.Name, "_bucket") != under(path, "histogram_quantile") {
				bad("%s: buckets are for quantiles, and quantiles of buckets", n.Name)
			}
		case *parser.AggregateExpr:
			if under(path, "histogram_quantile") && (n.Op != parser.SUM || !slices.Contains(n.Grouping, "le")) {
				bad("a quantile of buckets that were added up without le")
			}
			if under(path, "rate", "increase") {
				bad("a sum loses the restarts that a rate has to see")
			}
		}
		return nil
	})
	kept := keptLabels(expression)
	for _, found := range legendLabels.FindAllStringSubmatch(legend, -1) {
		if !slices.Contains(kept, found[1]) {
			bad("the legend has {{%s}}, the answer only %q", found[1], kept)
		}
	}
	for _, label := range kept {
		if one {
			bad("a value for each %s, not one", label)
		} else if !strings.Contains(legend, "{{"+label+"}}") && label != "namespace" && label != "name" {
			bad("lines that differ by %s have the same legend %q", label, legend)
		}
	}
	return problems
}

// notCounted are Envoy's counters, which have no suffix that says so.
var notCounted = regexp.MustCompile(`^envoy_http_(ext_proc_(failure_mode_allowed|streams_started|streams_failed)|downstream_rq_xx)$`)

func isCounter(name string) bool {
	for _, suffix := range []string{"_total", "_bucket", "_sum", "_count"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return notCounted.MatchString(name)
}

// under tells whether one of these functions is around a part of an expression.
func under(path []parser.Node, functions ...string) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains(functions, call.Func.Name)
	})
}

// keptLabels are those by which an answer's series differ. A series that is not added up has all of its labels, the replica's, too: several
// pickers would draw several lines of one legend, which is not allowed here.
func keptLabels(expression parser.Expr) []string {
	switch e := expression.(type) {
	case *parser.ParenExpr:
		return keptLabels(e.Expr)
	case *parser.AggregateExpr:
		return e.Grouping
	case *parser.BinaryExpr:
		return append(slices.Clone(keptLabels(e.LHS)), keptLabels(e.RHS)...)
	case *parser.Call:
		if e.Func.Name == "vector" {
			return nil
		}
		if e.Func.Name == "histogram_quantile" {
			return slices.DeleteFunc(slices.Clone(keptLabels(e.Args[1])), func(l string) bool { return l == "le" })
		}
	case *parser.NumberLiteral:
		return nil
	}
	return []string{"instance"}
}

// TestExpressionMistakes: each of these is found, and what is right is not.
func TestExpressionMistakes(t *testing.T) {
	const n = `namespace=~"$namespace"`
	for _, right := range []string{
		`sum by (code) (rate(a_total{` + n + `}[$__rate_interval]))`,
		`histogram_quantile(0.5, sum by (le, code) (rate(a_bucket{` + n + `}[$__rate_interval])))`,
		`max by (code) (a{` + n + `})`,
	} {
		if problems := checkExpression(right, "{{code}}", false); len(problems) > 0 {
			t.Errorf("%s: %q", right, problems)
		}
	}
	for _, wrong := range []string{
		`sum by (code) (rate(a_total{` + n + `}[$__rate_interval])`,
		`sum by (code) (rates(a_total{` + n + `}[$__rate_interval]))`,
		`sum by (code) (rate(a_total{` + n + `}))`,
		`sum by (code) (a_total{` + n + `})`,
		`sum by (code) (rate(a{` + n + `}[$__rate_interval]))`,
		`sum by (code) (rate(a_total[$__rate_interval]))`,
		`sum(rate(a_total{` + n + `}[$__rate_interval]))`,
		`sum by (code, pod) (rate(a_total{` + n + `}[$__rate_interval]))`,
		`rate(a_total{` + n + `}[$__rate_interval])`,
		`a{` + n + `}`,
		`histogram_quantile(0.5, sum by (code) (rate(a_bucket{` + n + `}[$__rate_interval])))`,
		`histogram_quantile(0.5, max by (code, le) (rate(a_bucket{` + n + `}[$__rate_interval])))`,
		`sum by (code) (rate(a_bucket{` + n + `}[$__rate_interval]))`,
		`max by (code) (a{` + n + `,code=~"$nobody})`,
	} {
		if len(checkExpression(wrong, "{{code}}", false)) == 0 {
			t.Errorf("nothing was found in %s", wrong)
		}
	}
	if right := `sum(rate(a_total{` + n + `}[$__rate_interval])) or vector(0)`; len(checkExpression(right, "all", true)) > 0 {
		t.Errorf("%s: %q", right, checkExpression(right, "all", true))
	}
	if wrong := `sum by (code) (rate(a_total{` + n + `}[$__rate_interval]))`; len(checkExpression(wrong, "{{code}}", true)) == 0 {
		t.Errorf("a stat of many values: nothing was found in %s", wrong)
	}
}
