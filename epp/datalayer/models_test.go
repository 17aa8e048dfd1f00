package datalayer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestModels(t *testing.T) {
	var answer atomic.Pointer[string]
	say := func(text string) { answer.Store(&text) }
	say(`{"object":"list","data":[{"id":"base","root":"x","parent":null},{"id":"adapter","parent":"base"},{"id":""}]}`)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, vllm(1, 0, 0)) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, *answer.Load()) })
	s := httptest.NewServer(mux)
	defer s.Close()
	o := quick()
	o.Models.Interval = 5 * time.Millisecond
	p, pool := start(t, o, spec("a", s.Listener.Addr().String()))
	e := pool.Endpoints()[0]
	eventually(t, "models and numbers", func() bool {
		return slices.Equal(e.Models(), []string{"base", "adapter"}) && e.Metrics().Running == 1
	})
	say(`{"data":[{"id":"other"}]}`)
	eventually(t, "other models", func() bool { return slices.Equal(e.Models(), []string{"other"}) })
	say(`{"data":[]}`)
	eventually(t, "no models, which is known", func() bool { m := e.Models(); return m != nil && len(m) == 0 })
	say(`{"data":[{"id":"other"}]}`)
	eventually(t, "other models again", func() bool { return len(e.Models()) == 1 })
	say(`{"error":"starting"}`)
	eventually(t, "models that are too old", func() bool { return e.Models() == nil })
	if m := e.Metrics(); m.Err != nil || m.Stale(time.Now()) {
		t.Errorf("the numbers suffer: %+v", m)
	}
	stats := p.Stats()
	if len(stats) != 2 || stats[0].Source != "metrics-data-source" || stats[0].PollErrors+stats[0].ExtractErrors != 0 ||
		stats[1].Source != "models-data-source" || stats[1].Extractor != "models-data-extractor" || stats[1].ExtractErrors == 0 || stats[1].PollErrors != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// TestAnswersAreTold counts calls: each answer with numbers, and models only when they are others.
func TestAnswersAreTold(t *testing.T) {
	var told, asked atomic.Int64
	var answer atomic.Pointer[string]
	first, second := `{"data":[{"id":"a"}]}`, `{"data":[{"id":"b"}]}`
	answer.Store(&first)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) { asked.Add(1); fmt.Fprint(w, *answer.Load()) })
	s := httptest.NewServer(mux)
	defer s.Close()
	o := quick()
	o.Models.Interval = 2 * time.Millisecond
	o.Changed = func(pool string) {
		if pool == "ns/pool" {
			told.Add(1)
		}
	}
	p, pool := start(t, o, spec("a", s.Listener.Addr().String()))
	e := pool.Endpoints()[0]
	eventually(t, "many answers", func() bool { return asked.Load() > 10 && len(e.Models()) == 1 })
	if got := told.Load(); got != 2 { // the endpoint came, and its models
		t.Errorf("told %d times, want 2", got)
	}
	answer.Store(&second)
	eventually(t, "other models", func() bool { return slices.Equal(e.Models(), []string{"b"}) })
	eventually(t, "told of them", func() bool { return told.Load() == 3 })
	numbers := newModelServer(t, vllm(1, 0, 0))
	p.Set("ns/pool", []Spec{spec("n", numbers.address())})
	eventually(t, "told of each scrape", func() bool { return told.Load() > 20 })
}

func TestModelsAreNotAskedForUnlessWanted(t *testing.T) {
	var asked atomic.Int64
	s := newModelServer(t, vllm(1, 0, 0))
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			asked.Add(1)
		}
		s.hits.Add(1)
		fmt.Fprint(w, vllm(1, 0, 0))
	})
	_, pool := start(t, quick(), spec("a", s.address()))
	eventually(t, "many scrapes", func() bool { return s.hits.Load() > 20 })
	if asked.Load() != 0 || pool.Endpoints()[0].Models() != nil {
		t.Errorf("asked %d times, models %q", asked.Load(), pool.Endpoints()[0].Models())
	}
}

func TestReadModels(t *testing.T) {
	many := `{"data":[` + strings.Repeat(`{"id":"a"},`, maxModels) + `{"id":"a"}]}`
	for text, want := range map[string]string{
		`{"data":[{"id":"a"}]}`: "[a]",
		`{"data":[]}`:           "[]",
		`{}`:                    "no data",
		`{"data":null}`:         "no data",
		`{"data":{}}`:           "no list",
		`[]`:                    "no list",
		`{"data":[{"id":1}]}`:   "no list",
		``:                      "no list",
		many:                    "4097 models",
	} {
		names, err := readModels([]byte(text))
		if got := fmt.Sprint(names, err); !strings.Contains(got, want) || (err == nil) != strings.HasPrefix(want, "[") {
			t.Errorf("%.40s: %.80s, want %s", text, got, want)
		}
	}
}
