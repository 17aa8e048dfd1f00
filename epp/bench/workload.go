package main

import (
	"fmt"
	"time"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// workload is what a proxy sends for each request: encoded messages, sent in turn, each answered before the next.
type workload struct {
	name string
	// bodies are sent in rotation.
	bodies [][]byte
	// trailers follow the answer; they tell the usage.
	trailers []byte
	// hold is how long the model server takes to answer.
	hold time.Duration
	// streams is how many requests are under way at once, one after the other on each; or, if it is 0, rate is how many
	// begin in a second, whatever became of earlier ones.
	streams int
	rate    int
}

// The rows that are compared with each other: what the picker sees of a longer answer is that its stream stays open longer.
const (
	nameShortAnswer = "200-token prompt at 300 rps, 10 tokens out in 20 ms"
	nameLongAnswer  = "200-token prompt at 300 rps, 1 000 tokens out in 2 s"
)

func workloads() []workload {
	long := prompts(10, 100, 500_000, 0.95)
	short := prompts(10, 100, 1_000, 0.5)
	return []workload{
		{name: "100 000-token prompt (500 kB), 10 tokens out", bodies: long, trailers: wire.Trailers(100_000, 10), streams: 2},
		{name: "200-token prompt, 10 tokens out", bodies: short, trailers: wire.Trailers(200, 10), streams: 8},
		{name: nameShortAnswer, bodies: short, trailers: wire.Trailers(200, 10), hold: 20 * time.Millisecond, rate: 300},
		{name: nameLongAnswer, bodies: short, trailers: wire.Trailers(200, 1000), hold: 2 * time.Second, rate: 300},
	}
}

// oneCore is what a picker has to serve with one core.
func oneCore() workload {
	return workload{name: "200-token prompt at 500 rps, 100 endpoints", bodies: prompts(10, 100, 1_000, 0.5), trailers: wire.Trailers(200, 10),
		hold: 20 * time.Millisecond, rate: 500}
}

// prompts makes n request bodies of about size bytes in groups that share the first part of their prompt.
func prompts(groups, n, size int, shared float64) [][]byte {
	bodies := make([][]byte, n)
	for i := range bodies {
		common := wire.Text(fmt.Sprintf("group %d ", i%groups), int(float64(size)*shared))
		own := wire.Text(fmt.Sprintf("request %d ", i), size-len(common))
		body := fmt.Sprintf(`{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"system","content":%q},{"role":"user","content":%q}],"max_tokens":10,"stream":true}`, common, own)
		bodies[i] = wire.Body([]byte(body))
	}
	return bodies
}
