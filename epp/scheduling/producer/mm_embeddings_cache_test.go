package producer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// servers makes a pool of so many endpoints.
func servers(t *testing.T, n int) *datalayer.Pools {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", serverSpecs(n))
	return pools
}

func serverSpecs(n int) []datalayer.Spec {
	specs := make([]datalayer.Spec, n)
	for i := range specs {
		specs[i] = datalayer.Spec{Name: fmt.Sprintf("pod-%d-rank-0", i), Pod: fmt.Sprintf("pod-%d", i), Address: fmt.Sprintf("10.0.0.%d:8000", i+1)}
	}
	return specs
}

// chatCycle is a cycle of a chat with these images.
func chatCycle(t *testing.T, pools *datalayer.Pools, images ...string) *scheduling.Cycle {
	t.Helper()
	text := `{"model":"m","messages":[{"content":[`
	for i, image := range images {
		if i > 0 {
			text += ","
		}
		text += `{"type":"image_url","image_url":{"url":"` + image + `"}}`
	}
	text += `]}]}`
	request := &body.Request{}
	if err := body.Scan(body.ChatCompletions, []byte(text), true, body.Limits{}, request); err != nil {
		t.Fatal(err)
	}
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(request, pool.Endpoints(), time.Now())
	c.Body = []byte(text)
	t.Cleanup(c.Release)
	return c
}

func encoderScores(t *testing.T, c *scheduling.Cycle) []float32 {
	t.Helper()
	s, err := scorer.NewMMEmbeddingsCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	scores := make([]float32, len(c.Candidates))
	for i := range scores {
		scores[i] = -1
	}
	s.Score(c, c.Indices(), scores)
	return scores
}

func newEncoderCache(t *testing.T, parameters string) *producer.MMEmbeddingsCache {
	t.Helper()
	p, err := producer.NewMMEmbeddingsCache([]byte(parameters))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMMEmbeddingsCachePrefersWhoHasTheImages(t *testing.T) {
	p, pools := newEncoderCache(t, ``), servers(t, 3)
	place := func(on int, images ...string) {
		c := chatCycle(t, pools, images...)
		p.Produce(c)
		if p.Follow(c, []int{on}) != nil {
			t.Error("it wants to know how the request goes on")
		}
	}
	place(0, "a", "b")
	place(1, "b", "b")
	for name, test := range map[string]struct {
		images []string
		want   []float32
	}{
		"both":       {[]string{"a", "b"}, []float32{1, 0.5, 0}},
		"one known":  {[]string{"a", "c", "d", "e"}, []float32{0.25, 0, 0}},
		"none known": {[]string{"x"}, []float32{0, 0, 0}},
		"no images":  {nil, []float32{0, 0, 0}},
	} {
		c := chatCycle(t, pools, test.images...)
		p.Produce(c)
		if got := encoderScores(t, c); !slices.Equal(got, test.want) {
			t.Errorf("%s: scores %v, want %v", name, got, test.want)
		}
	}
	if got := encoderScores(t, chatCycle(t, pools, "a")); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("without a producer: scores %v", got)
	}
}

func TestMMEmbeddingsCacheIsOfTheStageThatEncodes(t *testing.T) {
	for _, test := range []struct {
		stages map[string]int
		want   []float32
	}{
		{map[string]int{scheduling.StagePrefill: 1}, []float32{0, 1, 0}},
		{map[string]int{scheduling.StagePrefill: 1, scheduling.StageEncode: 2}, []float32{0, 0, 1}},
	} {
		p, pools := newEncoderCache(t, ``), servers(t, 3)
		c := chatCycle(t, pools, "a")
		p.Produce(c)
		for name, candidate := range test.stages {
			c.AddStage(name, candidate)
		}
		p.Follow(c, []int{0})
		c = chatCycle(t, pools, "a")
		p.Produce(c)
		if got := encoderScores(t, c); !slices.Equal(got, test.want) {
			t.Errorf("stages %v: scores %v, want %v", test.stages, got, test.want)
		}
	}
}

func TestMMEmbeddingsCacheIsBounded(t *testing.T) {
	p, pools := newEncoderCache(t, `{"cacheSizeInMBPerServer":6}`), servers(t, 2)
	place := func(on int, images ...string) {
		c := chatCycle(t, pools, images...)
		p.Produce(c)
		p.Follow(c, []int{on})
	}
	place(0, "a", "b", "c")
	place(1, "z")
	place(0, "a") // now b is the oldest
	place(0, "d")
	for image, want := range map[string]float32{"a": 1, "b": 0, "c": 1, "d": 1} {
		c := chatCycle(t, pools, image)
		p.Produce(c)
		if got := encoderScores(t, c); !slices.Equal(got, []float32{want, 0}) {
			t.Errorf("%s: scores %v, want %g and 0", image, got, want)
		}
	}
	if servers, media := p.Remembered(); servers != 2 || media != 4 {
		t.Errorf("%d servers, %d media", servers, media)
	}
}

func TestMMEmbeddingsCacheForgetsServersThatAreGone(t *testing.T) {
	defer goleak.VerifyNone(t)
	p, pools := newEncoderCache(t, ``), servers(t, 2)
	p.SweepEvery(time.Millisecond)
	for on := range 2 {
		c := chatCycle(t, pools, "a")
		p.Produce(c)
		p.Follow(c, []int{on})
	}
	pools.Set("ns/pool", serverSpecs(1))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, pools) }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if known, _ := p.Remembered(); known == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server that is gone is still remembered")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c := chatCycle(t, pools, "a")
	p.Produce(c)
	if got := encoderScores(t, c); !slices.Equal(got, []float32{1}) {
		t.Errorf("scores %v: the server that stays is forgotten", got)
	}
}

func TestEncoderCacheMetrics(t *testing.T) {
	p, pools := newEncoderCache(t, ``), servers(t, 2)
	registry := prometheus.NewPedanticRegistry()
	for _, collector := range p.Collectors() {
		if err := registry.Register(collector); err != nil {
			t.Fatal(err)
		}
	}
	count := func(name string) float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue() + metric.GetHistogram().GetSampleSum()
			}
		}
		return sum
	}
	names := []string{"llm_d_epp_encoder_cache_queries_total", "llm_d_epp_encoder_cache_hits_total", "llm_d_epp_encoder_cache_hit_ratio"}
	before := map[string]float64{}
	for _, name := range names {
		before[name] = count(name)
	}
	for range 2 {
		c := chatCycle(t, pools, "metrics-1", "metrics-2")
		p.Produce(c)
		p.Follow(c, []int{1})
	}
	for i, want := range []float64{4, 2, 1} {
		if got := count(names[i]) - before[names[i]]; got != want {
			t.Errorf("%s grew by %g, want %g", names[i], got, want)
		}
	}
}

func TestMMEmbeddingsCacheParameters(t *testing.T) {
	for _, bad := range []string{`{"cacheSizeInMBPerServer":1048577}`, `{"cacheSize":1}`, `{"cacheSizeInMBPerServer":"4"}`} {
		if _, err := producer.NewMMEmbeddingsCache([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	for _, good := range []string{``, `{"cacheSizeInMBPerServer":0}`, `{"cacheSizeInMBPerServer":1}`} {
		if _, err := producer.NewMMEmbeddingsCache([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if _, err := scorer.NewMMEmbeddingsCache([]byte(`{"a":1}`)); err == nil {
		t.Error("the scorer accepts a parameter")
	}
}
