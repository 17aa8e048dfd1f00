package sim

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// The page is written by hand: a simulator is scraped many times a second beside whatever is being measured, and
// building it through a registry costs tens of times as much.

// serveMetrics writes the page in Prometheus' text format, with vLLM's names.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(s.appendMetrics(make([]byte, 0, 24<<10)))
}

// page is a metrics page in the making. Every series of a model carries the same two labels.
type page struct {
	out    []byte
	labels string // without braces
}

func (s *Server) appendMetrics(out []byte) []byte {
	stats := s.Stats()
	p := &page{out: out, labels: `engine="0",model_name=` + quoteLabel(s.cfg.Model)}

	p.single("vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", float64(stats.Running))
	p.single("vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", float64(stats.Waiting))
	p.single("vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", stats.KVUsage())
	p.single("vllm:prefix_cache_queries_total", "counter",
		"Prefix cache queries, in terms of number of queried tokens.", float64(stats.PrefixQueries))
	p.single("vllm:prefix_cache_hits_total", "counter",
		"Prefix cache hits, in terms of number of cached tokens.", float64(stats.PrefixHits))
	p.single("vllm:num_preemptions_total", "counter", "Cumulative number of preemption from the engine.", 0)
	p.single("vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", float64(stats.PromptTokens))
	p.single("vllm:generation_tokens_total", "counter",
		"Number of generation tokens processed.", float64(stats.GenerationTokens))

	s.meter.mu.Lock()
	p.head("vllm:request_success_total", "counter", "Count of successfully processed requests.")
	for _, reason := range []string{finishStop, finishLength, finishAbort} {
		p.series("vllm:request_success_total", p.labels+`,finished_reason="`+reason+`"`, float64(s.meter.outcomes[reason]))
	}
	for _, h := range s.meter.histograms() {
		p.histogram(h)
	}
	s.meter.mu.Unlock()

	p.head("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig")
	p.series("vllm:cache_config_info", `block_size="`+strconv.Itoa(s.cfg.BlockTokens)+
		`",cache_dtype="auto",enable_prefix_caching="True",engine="0",num_gpu_blocks="`+
		strconv.Itoa(s.cfg.CacheBlocks)+`"`, 1)
	s.appendLoRA(p)
	return p.out
}

// appendLoRA writes nothing for a server without adapters, as vLLM does.
func (s *Server) appendLoRA(p *page) {
	if len(s.cfg.LoRA) == 0 {
		return
	}
	p.head("vllm:lora_requests_info", "gauge", "Running stats on lora requests.")
	for _, state := range s.engine.loraSeries() {
		p.series("vllm:lora_requests_info", `max_lora="`+strconv.Itoa(s.cfg.MaxLoRA)+
			`",running_lora_adapters=`+quoteLabel(strings.Join(state.running, ","))+
			`,waiting_lora_adapters=`+quoteLabel(strings.Join(state.waiting, ",")),
			float64(state.since.UnixMicro())/1e6)
	}
}

func (p *page) head(name, kind, help string) {
	for _, s := range [...]string{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"} {
		p.out = append(p.out, s...)
	}
}

func (p *page) single(name, kind, help string, value float64) {
	p.head(name, kind, help)
	p.series(name, p.labels, value)
}

func (p *page) series(name, labels string, value float64) {
	p.begin(name, "", labels)
	p.end(value)
}

// begin writes a series up to its last label.
func (p *page) begin(name, suffix, labels string) {
	p.out = append(append(p.out, name...), suffix...)
	p.out = append(append(p.out, '{'), labels...)
}

func (p *page) end(value float64) {
	p.out = append(appendFloat(append(p.out, "} "...), value), '\n')
}

func (p *page) histogram(h *histogram) {
	p.head(h.name, "histogram", h.help)
	var below int64
	for i, c := range h.counts {
		below += c
		p.begin(h.name, "_bucket", p.labels)
		p.out = append(append(append(p.out, `,le="`...), h.le[i]...), '"')
		p.end(float64(below))
	}
	p.begin(h.name, "_count", p.labels)
	p.end(float64(below))
	p.begin(h.name, "_sum", p.labels)
	p.end(h.sum)
}

// appendFloat writes a number as Python does, whole numbers with a fraction: 3.0, 0.25, 1.7e+09.
func appendFloat(out []byte, v float64) []byte {
	start := len(out)
	out = strconv.AppendFloat(out, v, 'g', -1, 64)
	if !bytes.ContainsAny(out[start:], ".e") {
		out = append(out, ".0"...)
	}
	return out
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func quoteLabel(v string) string { return `"` + labelEscapes.Replace(v) + `"` }
