package latency_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/latency"
)

func TestSamplesAreSent(t *testing.T) {
	f := newFake(t)
	client := running(t, nil, f)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	client.Learn(latency.Sample{Features: latency.Features{InputTokens: 12, Role: "decode"}, TTFT: 34.5, At: at})
	client.Learn(latency.Sample{Features: latency.Features{InputTokens: 12}, TPOT: 6, At: at})
	until(t, "both samples are there", func() bool { return len(f.learnt()) == 2 })
	first, second := f.learnt()[0], f.learnt()[1]
	if *first.TTFT != 34.5 || *first.TPOT != 0 || *first.Input != 12 || first.PodType != "decode" || !first.At.Equal(at) {
		t.Errorf("first %+v", first)
	}
	if *second.TTFT != 0 || *second.TPOT != 6 || second.PodType != "" {
		t.Errorf("second %+v", second)
	}
}

func TestSamplesOutliveATrainingServerThatFails(t *testing.T) {
	f := newFake(t)
	f.answering(func(w http.ResponseWriter, _ []row) bool { w.WriteHeader(503); return true })
	client := running(t, func(o *latency.Options) { o.MaxSamples = 10 }, f)
	for range 100 {
		client.Learn(latency.Sample{TTFT: 1})
	}
	until(t, "the server has failed", func() bool { return len(f.rowsOfCalls()) > 0 })
	f.answering(nil)
	until(t, "samples are sent again", func() bool { return len(f.learnt()) > 0 })
	if n := len(f.learnt()); n != 10 {
		t.Errorf("%d samples, want 10, the bound", n)
	}
}

func TestSamplesThatAreRefusedAreNotSentAgain(t *testing.T) {
	f := newFake(t)
	f.answering(func(w http.ResponseWriter, _ []row) bool { w.WriteHeader(422); return true })
	client := running(t, nil, f)
	client.Learn(latency.Sample{TTFT: 1})
	until(t, "the server has refused", func() bool { return len(f.rowsOfCalls()) > 0 })
	f.answering(nil)
	client.Learn(latency.Sample{TTFT: 2})
	until(t, "the next sample is sent", func() bool { return len(f.learnt()) > 0 })
	if got := f.learnt(); len(got) != 1 || *got[0].TTFT != 2 {
		t.Errorf("learnt %+v", got)
	}
}

func TestSamplesThatWaitAreBounded(t *testing.T) {
	options := latency.Defaults()
	options.MaxSamples = 10
	client := latency.New(options, nil)
	for n := range 100 {
		client.Learn(latency.Sample{TTFT: float64(n)})
	}
	if n := client.Waiting(); n != 10 {
		t.Errorf("%d samples wait, want 10", n)
	}
}
