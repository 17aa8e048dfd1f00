package epp

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

var update = flag.Bool("update", false, "rewrite the pages in testdata")

// TestPage compares all that /metrics shows, but for the values, with what dashboards and alerts were made for.
func TestPage(t *testing.T) {
	for name, legacy := range map[string]bool{"testdata/metrics.txt": false, "testdata/metrics-legacy.txt": true} {
		picker := busyPicker(t, legacy)
		families, err := picker.page().Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := describePage(families)
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: go test -run TestPage -update shows what changed\n%s", name, differences(string(want), got))
		}
	}
}

// busyPicker is a picker all of whose families have a series.
func busyPicker(t *testing.T, legacy bool) *EPP {
	t.Helper()
	scraping := datalayer.Options{Logger: slog.New(slog.DiscardHandler)}
	config.Default().Apply(&scraping)
	pools := datalayer.New(scraping)
	picker, err := New(Options{Pools: pools, StreamMetrics: true, LegacyMetrics: legacy, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	pool := scrapedPool(t, picker, pools)
	picker.streams.metrics.begin()
	picker.streams.metrics.end(time.Now(), nil)
	all := picker.series
	series := all.Series("m", "t", "", 0)
	series.Total.Inc()
	series.Error("BadRequest")
	series.Tokens(1, 1, 1)
	series.FirstToken(time.Second, true)
	series.FirstToken(time.Second, false)
	series.Gap(time.Second)
	series.PerToken(time.Second)
	series.NormalizedPerToken(time.Second)
	series.ResponseSize(1)
	all.CountAttempt("t", pool.Endpoints()[0])
	all.CountAttempt("t", nil)
	all.ModelRewritten("rewrite", "m", "t")
	all.PluginDuration(scheduling.PointScorer, "queue-scorer", "queue").Observe(1)
	return picker
}

// scrapedPool is a pool with an endpoint that has been asked for its metrics.
func scrapedPool(t *testing.T, picker *EPP, pools *datalayer.Pools) *datalayer.Pool {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "vllm:num_requests_waiting 1\nvllm:num_requests_running 2\nvllm:kv_cache_usage_perc 0.5\n")
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	var scraper sync.WaitGroup
	scraper.Go(func() { _ = picker.Run(ctx) })
	defer func() {
		cancel()
		scraper.Wait()
		server.Close()
	}()
	pools.Set("ns/pool", []datalayer.Spec{{Name: "pod-rank-0", Namespace: "ns", Address: server.Listener.Addr().String()}})
	pool, _ := pools.Get("ns/pool")
	for !pool.Endpoints()[0].Metrics().Known.Has(datalayer.HasWaiting) {
		select {
		case <-ctx.Done():
			t.Fatal("the endpoint was not scraped")
		case <-time.After(time.Millisecond):
		}
	}
	return pool
}

// describePage writes each family with its type, labels, buckets and help.
func describePage(families []*dto.MetricFamily) string {
	var page strings.Builder
	for _, family := range families {
		labels := map[string]bool{}
		for _, metric := range family.GetMetric() {
			labels[strings.Join(labelNames(metric), ",")] = true
		}
		for _, names := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&page, "%s %s{%s}\n", strings.ToLower(family.GetType().String()), family.GetName(), names)
		}
		fmt.Fprintf(&page, "  %s\n", family.GetHelp())
		if histogram := family.GetMetric()[0].GetHistogram(); histogram != nil {
			page.WriteString(" ")
			for _, bucket := range histogram.GetBucket() {
				page.WriteString(" " + strconv.FormatFloat(bucket.GetUpperBound(), 'f', -1, 64))
			}
			page.WriteString("\n")
		}
	}
	return page.String()
}

func labelNames(metric *dto.Metric) []string {
	var names []string
	for _, label := range metric.GetLabel() {
		names = append(names, label.GetName())
	}
	return names
}

// differences are the lines that only one of two texts has.
func differences(want, got string) string {
	var out strings.Builder
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range wanted {
		if !slices.Contains(gotten, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range gotten {
		if !slices.Contains(wanted, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	return out.String()
}

// shown gives the labels of each series name that a gatherer shows.
func shown(t *testing.T, gatherer prometheus.Gatherer) map[string][]string {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string][]string{}
	for _, family := range families {
		labels := labelNames(family.GetMetric()[0])
		if family.GetType() != dto.MetricType_HISTOGRAM {
			series[family.GetName()] = labels
			continue
		}
		series[family.GetName()+"_bucket"] = append(labels, "le")
		series[family.GetName()+"_sum"], series[family.GetName()+"_count"] = labels, labels
	}
	return series
}
