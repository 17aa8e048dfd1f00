package export_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard/switchyard/epp/tracing/export"
)

// record is a log that can be read.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) log() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

func TestOverHTTP(t *testing.T) {
	taken := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var request collectorv1.ExportTraceServiceRequest
		if err := proto.Unmarshal(text, &request); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		taken.take(&request)
	}))
	defer server.Close()
	for _, address := range []string{server.URL, strings.TrimPrefix(server.URL, "http://")} {
		environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT", address, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_TRACES_SAMPLER", "always_on")
		before := len(taken.taken()["epp.request"])
		exported := start(t, silent)
		client, stop := dial(t, exported.Tracer(), endpoint)
		p := open(t, client, false)
		p.ask(false)
		p.answer(false)
		stop()
		exported.Stop()
		if got := len(taken.taken()["epp.request"]) - before; got != 1 {
			t.Errorf("%s: %d spans of requests arrived, want 1", address, got)
		}
	}
}

// TestACollectorThatRefuses disturbs no request, and is told of once.
func TestACollectorThatRefuses(t *testing.T) {
	calls := 0
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		calls++
		mu.Unlock()
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT", server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_TRACES_SAMPLER", "always_on",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var told record
	exported := start(t, told.log())
	client, stop := dial(t, exported.Tracer(), endpoint)
	for range 5 {
		p := open(t, client, false)
		if set := p.ask(false); set["x-gateway-destination-endpoint"] != endpoint {
			t.Errorf("headers %v", set)
		}
		p.answer(false)
	}
	stop()
	exported.Stop()
	if got := strings.Count(told.String(), "level=WARN"); got != 1 || !strings.Contains(told.String(), "lost_spans=1") {
		t.Errorf("%d warnings, want 1 with the number of spans:\n%s", got, told.String())
	}
	mu.Lock()
	defer mu.Unlock()
	if calls < 2 {
		t.Errorf("the collector was asked %d times: the test shows nothing", calls)
	}
}

func TestToTheLog(t *testing.T) {
	environment(t, "OTEL_TRACES_EXPORTER", "console", "OTEL_TRACES_SAMPLER", "always_on")
	var told record
	exported := start(t, told.log())
	client, stop := dial(t, exported.Tracer(), endpoint)
	p := open(t, client, false)
	p.ask(false)
	p.answer(false)
	stop()
	exported.Stop()
	for _, want := range []string{"name=epp.request", "name=epp.scheduling", "attributes.llm_d.epp.endpoint.picked=" + endpoint} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, told.String())
		}
	}
}

func TestTheEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		pairs   []string
		exports bool
		refused string // in the error
		warned  string // in the log
	}{
		"nothing":                 {},
		"an address":              {pairs: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}, exports: true},
		"an address for traces":   {pairs: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1"}, exports: true},
		"an exporter":             {pairs: []string{"OTEL_TRACES_EXPORTER", "otlp"}, exports: true},
		"two exporters":           {pairs: []string{"OTEL_TRACES_EXPORTER", "otlp, console"}, exports: true},
		"none in spite of it":     {pairs: []string{"OTEL_TRACES_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}},
		"disabled in spite of it": {pairs: []string{"OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}},
		"an unknown exporter":     {pairs: []string{"OTEL_TRACES_EXPORTER", "zipkin"}, refused: `OTEL_TRACES_EXPORTER: "zipkin" is not supported, use otlp, console or none`},
		"an unknown protocol": {pairs: []string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
			refused: `OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" is not supported, use grpc or http/protobuf`},
		"an unknown sampler": {pairs: []string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "jaeger_remote"}, exports: true, warned: "OTEL_TRACES_SAMPLER is not one"},
		"a ratio above 1":    {pairs: []string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER_ARG", "7"}, exports: true, warned: "OTEL_TRACES_SAMPLER_ARG is not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, test.pairs...)
			var told record
			exported, err := export.Start("", told.log())
			defer exported.Stop()
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("error %v, want one with %q", err, test.refused)
			}
			if got := exported.Tracer() != nil; got != test.exports {
				t.Errorf("traces are made: %t, want %t", got, test.exports)
			}
			if !strings.Contains(told.String(), test.warned) || test.warned == "" && told.String() != "" {
				t.Errorf("log %q, want %q", told.String(), test.warned)
			}
		})
	}
}
