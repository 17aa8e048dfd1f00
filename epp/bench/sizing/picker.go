package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	servers  = 100
	poolName = "sizing"
	poolKey  = "default/" + poolName
	viewKey  = "default/sizing"
)

// ports of one picker and its proxy.
type ports struct{ extProc, health, pages, xds, listen int }

// picker is a running `controlplane epp`.
type picker struct {
	*process
	ports ports
	pages string
}

// startPicker runs the picker for the simulated servers with the configuration of a values file, and waits until it knows all of them.
func startPicker(ctx context.Context, program, dir string, matched int, serverPort string) (*picker, error) {
	endpoints, config := filepath.Join(dir, "endpoints.txt"), filepath.Join(dir, "config.txt")
	if err := os.WriteFile(endpoints, []byte(endpointsFile(serverPort)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(discovering(pluginsConfig(matched), endpoints)), 0o600); err != nil {
		return nil, err
	}
	at, err := freePorts()
	if err != nil {
		return nil, err
	}
	local := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	// The flags are those of the chart's picker beside a proxy, but for the addresses and for what a cluster would tell.
	started, err := start(program, "epp", "--pool-name", poolName, "--pool-namespace", "default", "--zap-encoder", "json",
		"--config-file", config, "--bind-address", "127.0.0.1", "--grpc-port", strconv.Itoa(at.extProc), "--grpc-health-port", strconv.Itoa(at.health),
		"--metrics-port", strconv.Itoa(at.pages), "--tracing=false", "--proxy-xds-address", local(at.xds), "--proxy-picker", local(at.extProc),
		"--proxy-view", viewKey, "--proxy-listen", local(at.listen), "--proxy-fail-open=true")
	if err != nil {
		return nil, err
	}
	p := &picker{process: started, ports: at, pages: "http://" + local(at.pages)}
	if err := p.waitForMetrics(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func endpointsFile(port string) string {
	var out strings.Builder
	out.WriteString("endpoints:\n")
	for n := 1; n <= servers; n++ {
		fmt.Fprintf(&out, "- {name: server-%d, address: 127.0.1.%d, port: %s}\n", n, n, port)
	}
	return out.String()
}

// discovering adds to a configuration where the endpoints are, which on a cluster are pods.
func discovering(config, endpoints string) string {
	plugin := fmt.Sprintf("plugins:\n- type: file-discovery\n  parameters:\n    path: %q\n", endpoints)
	return strings.Replace(config, "plugins:\n", plugin, 1) + "dataLayer:\n  discovery:\n    pluginRef: file-discovery\n"
}

// freePorts gives ports that are free now.
func freePorts() (ports, error) {
	var out ports
	for _, into := range []*int{&out.extProc, &out.health, &out.pages, &out.xds, &out.listen} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, err
		}
		defer l.Close()
		*into = l.Addr().(*net.TCPAddr).Port
	}
	return out, nil
}

// state is what is used of the picker's page about itself.
type state struct {
	Ready   bool
	Streams int
	Pools   []struct {
		PrefixEntries  int
		StaleEndpoints int
		Endpoints      []struct{}
	}
}

func (p *picker) state() (state, error) {
	var out state
	response, err := http.Get(p.pages + "/debug/epp")
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("reading the picker's page: %w", err)
	}
	return out, nil
}

func (s state) complete() bool {
	return s.Ready && len(s.Pools) == 1 && len(s.Pools[0].Endpoints) == servers && s.Pools[0].StaleEndpoints == 0
}

const patience = 30 * time.Second

func (p *picker) waitForMetrics(ctx context.Context) error {
	return until(ctx, "the picker knows all servers", func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		now, err := p.state()
		return err == nil && now.complete(), nil
	})
}

// until waits for a condition.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		if done, err := holds(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("not within %s: %s", patience, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// schedulerSeries is how long the picker says that it took to choose.
const schedulerSeries = "llm_d_epp_scheduler_e2e_duration_seconds"

// scheduled is the histogram of the scheduler's time so far, nil before the first request.
func (p *picker) scheduled() (*dto.Histogram, error) {
	response, err := http.Get(p.pages + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the picker's metrics: %w", err)
	}
	metrics := families[schedulerSeries].GetMetric()
	if len(metrics) == 0 {
		return nil, nil
	}
	return metrics[0].GetHistogram(), nil
}

// median is the bound of the bucket that holds the middle of what came between two histograms, in seconds.
func median(before, after *dto.Histogram) float64 {
	count := after.GetSampleCount() - before.GetSampleCount()
	for i, bucket := range after.GetBucket() {
		var earlier uint64
		if before != nil {
			earlier = before.GetBucket()[i].GetCumulativeCount()
		}
		if 2*(bucket.GetCumulativeCount()-earlier) >= count {
			return bucket.GetUpperBound()
		}
	}
	return math.Inf(1)
}
