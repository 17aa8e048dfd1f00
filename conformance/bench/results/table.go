package results

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/switchyard/switchyard/conformance/bench/stats"
	"github.com/switchyard/switchyard/conformance/bench/usage"
)

// Table prints the figures for people.
func (r *Results) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	t := &table{w: w}
	t.row("GatewayClass", fmt.Sprintf("%s (%s), %d proxies", r.GatewayClass, r.Controller, r.Proxies))
	t.row("cluster", fmt.Sprintf("Kubernetes %s, Gateway API %s", r.Versions.Kubernetes, r.Versions.GatewayAPI))
	t.row("machine", fmt.Sprintf("%d CPUs, %s, load %s", r.Machine.CPUs, r.Machine.Model, r.Machine.Load))
	t.attached(r.Attached)
	t.propagation(r.Propagation)
	t.flips(r.Flips)
	t.rest(r.Rest)
	for _, e := range r.Errors {
		t.row("FAILED", e)
	}
	if t.err != nil {
		return fmt.Errorf("print the table: %w", t.err)
	}
	return w.Flush()
}

type table struct {
	w   io.Writer
	err error
}

func (t *table) row(name, text string) {
	if _, err := fmt.Fprintf(t.w, "%s\t%s\n", name, text); err != nil {
		t.err = err
	}
}

func (t *table) title(format string, args ...any) {
	t.row("", "")
	t.row(strings.ToUpper(fmt.Sprintf(format, args...)), "")
}

func (t *table) attached(a *Attached) {
	if a == nil {
		return
	}
	t.title("attached: %d routes", a.Routes)
	t.phase("set-up", a.Setup)
	t.row("set-up, all Accepted", seconds(a.Setup.AcceptedMs)+" after the last create")
	if a.Teardown != nil {
		t.phase("tear-down", *a.Teardown)
	}
}

func (t *table) phase(name string, p Phase) {
	t.row(name, fmt.Sprintf("%s after the last request (the requests took %s)", seconds(p.AttachedMs), seconds(p.RequestsMs)))
	t.row(name+", status writes", fmt.Sprintf("Gateway %d (%d changed attachedRoutes); routes %d, at most %d on one",
		p.Gateway.Status, p.Gateway.Attached, p.Routes.Status, p.Routes.MostOnOne))
	if n := p.Gateway.Interruptions + p.Routes.Interruptions; n > 0 {
		t.row(name+", writes uncertain", fmt.Sprintf("the watch was interrupted %d times", n))
	}
}

func (t *table) propagation(p *Propagation) {
	if p == nil {
		return
	}
	t.title("propagation: %d new routes, %d in place", p.Routes, p.InPlace)
	t.row("apply to first right answer", spread(p.First))
	if p.Settled != nil {
		t.row(fmt.Sprintf("apply to the first of %d right in a row", p.Consecutive), spread(*p.Settled))
	}
	t.row("floor: a right answer", spread(p.Answer)+fmt.Sprintf("; p50 is %.0fx that", stats.Ratio(p.First.P50, p.Answer.P50)))
	t.row("floor: the create itself", spread(p.Apply)+fmt.Sprintf("; p50 is %.1fx that", stats.Ratio(p.First.P50, p.Apply.P50)))
	t.row("wrong answers", fmt.Sprintf("%s (of %d requests; 404: %d before, %d after the first right one)",
		counts(p.Wrong), p.Requests, p.NotYet, p.NotYetAfterFirst))
	if p.Unanswered > 0 {
		t.row("routes that never answered", fmt.Sprint(p.Unanswered))
	}
}

func (t *table) flips(f *Flips) {
	if f == nil {
		return
	}
	churn := ""
	if f.Churn {
		churn = ", endpoints come and go"
	}
	t.title("flips: %d under load, %d connections%s", f.Flips, f.Connections, churn)
	t.row("requests", fmt.Sprintf("%d (%.0f/s)", f.Requests, stats.Ratio(float64(f.Requests), f.Seconds)))
	t.row("not 200", counts(f.Wrong))
	t.row("neither state", counts(f.Mixed))
	t.row(fmt.Sprintf("stale after %s", seconds(f.BoundMs)), fmt.Sprintf("%d (the latest after %s)", f.Stale, seconds(f.StaleByMs)))
	if f.Early+f.Never > 0 {
		t.row("early answers, changes never seen", fmt.Sprintf("%d, %d", f.Early, f.Never))
	}
	t.row("apply to first new answer", spread(f.FirstNew))
	t.row("apply to last old answer", spread(f.LastOld))
}

func (t *table) rest(r *Rest) {
	if r == nil {
		return
	}
	t.title("at rest: %d routes in place", r.InPlace)
	t.usage("control plane", r.ControlPlane)
	t.usage("proxies", r.DataPlane)
}

func (t *table) usage(name string, u *usage.Total) {
	if u == nil {
		t.row(name, "not measured: no pods selected")
		return
	}
	const mib = 1 << 20
	t.row(name, fmt.Sprintf("%.3f CPU s in %.0f s (%.4f cores), RSS %.1f MiB, working set %.1f MiB, %d pods",
		u.CPUSeconds, u.Seconds, u.Cores, float64(u.RSSBytes)/mib, float64(u.WorkingSetBytes)/mib, u.Pods))
}

func spread(d stats.Distribution) string {
	if d.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %.1f  p90 %.1f  p99 %.1f  max %.1f ms", d.P50, d.P90, d.P99, d.Max)
}

func seconds(ms float64) string { return fmt.Sprintf("%.2f s", ms/1000) }

// counts prints "0", or the sum and what it is made of.
func counts(of map[string]int) string {
	sum, parts := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		sum += of[name]
		parts = append(parts, fmt.Sprintf("%s: %d", name, of[name]))
	}
	if sum == 0 {
		return "0"
	}
	return fmt.Sprintf("%d [%s]", sum, strings.Join(parts, ", "))
}
