package datalayer

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func readPage(engine, text string) *Metrics {
	r := newEngines(nil, "", "").of(map[string]string{EngineLabel: engine})
	p := &page{}
	r.read([]byte(text), p)
	return (&Metrics{}).next(p, time.Unix(1, 0), time.Second)
}

func TestReadPage(t *testing.T) {
	all := HasWaiting | HasRunning | HasKVUsage
	for _, tc := range []struct {
		name, engine, page string
		want               Metrics
	}{
		{"vllm", "vllm", `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting_other{engine="0"} 99
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_cpu_blocks="None",num_gpu_blocks="28936"} 1.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters="c"} 1.7e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="old",waiting_lora_adapters=""} 1.6e+09
`, Metrics{Waiting: 7, Running: 3, KVUsage: 0.25, BlockSize: 16, NumBlocks: 28936, Known: all | HasCacheInfo | HasLoRA,
			LoRA: LoRA{Running: []string{"a", "b"}, Waiting: []string{"c"}, Max: 4}}},
		{"several engines behind one address", "vllm", `vllm:num_requests_running{engine="0"} 3
vllm:num_requests_running{engine="1"} 4
vllm:num_requests_waiting{engine="0"} 1
vllm:num_requests_waiting{engine="1"} 1
vllm:kv_cache_usage_perc{engine="0"} 0.5
vllm:kv_cache_usage_perc{engine="1"} 1
vllm:cache_config_info{block_size="16",num_gpu_blocks="100",engine="0"} 1
vllm:cache_config_info{block_size="16",num_gpu_blocks="100",engine="1"} 1
`, Metrics{Waiting: 2, Running: 7, KVUsage: 0.75, BlockSize: 16, NumBlocks: 200, Known: all | HasCacheInfo}},
		{"sglang", "sglang", "sglang:num_queue_reqs 1\nsglang:num_running_reqs 2\nsglang:token_usage 0.5\n" +
			`sglang:cache_config_info{page_size="1",num_pages="5000"} 1`,
			Metrics{Waiting: 1, Running: 2, KVUsage: 0.5, BlockSize: 1, NumBlocks: 5000, Known: all | HasCacheInfo}},
		{"sglang with gauges, ranks and priorities", "sglang", `sglang:num_running_reqs{dp_rank="0",engine_type="unified",priority=""} 5.0
sglang:num_running_reqs{dp_rank="0",engine_type="unified",priority="0"} 3.0
sglang:num_running_reqs{dp_rank="0",engine_type="unified",priority="10"} 2.0
sglang:num_running_reqs{dp_rank="1",engine_type="unified",priority=""} 1.0
sglang:num_queue_reqs{dp_rank="0",engine_type="unified",priority=""} 4.0
sglang:num_queue_reqs{priority="10",dp_rank="0",engine_type="unified"} 4.0
sglang:token_usage{dp_rank="0",engine_type="unified",priority=""} 0.5
sglang:page_size{dp_rank="0",engine_type="unified",priority=""} 64.0
sglang:page_size{dp_rank="1",engine_type="unified",priority=""} 64.0
sglang:num_pages{dp_rank="0",engine_type="unified",priority=""} 100.0
sglang:num_pages{dp_rank="1",engine_type="unified",priority=""} 100.0
`, Metrics{Waiting: 4, Running: 6, KVUsage: 0.5, BlockSize: 64, NumBlocks: 200, Known: all | HasCacheInfo}},
		{"trtllm-serve", "trtllm-serve", "trtllm_num_requests_waiting 1\ntrtllm_num_requests_running 2\ntrtllm_kv_cache_utilization 0.5\n" +
			"trtllm_kv_cache_tokens_per_block 32\ntrtllm_kv_cache_max_blocks 700\n",
			Metrics{Waiting: 1, Running: 2, KVUsage: 0.5, BlockSize: 32, NumBlocks: 700, Known: all | HasCacheInfo}},
		{"triton-tensorrt-llm", "triton-tensorrt-llm", `nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 5
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 6
nv_trt_llm_request_metrics{model="m",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m"} 0.125
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="m"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m"} 321
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="m"} 9
`, Metrics{Waiting: 5, Running: 6, KVUsage: 0.125, BlockSize: 64, NumBlocks: 321, Known: all | HasCacheInfo}},
		{"triton", "triton", "nv_inference_pending_request_count{model=\"m\"} 4\nnv_inference_exec_count{model=\"m\"} 9",
			Metrics{Waiting: 4, Running: 9, Known: HasWaiting | HasRunning}},
		{"an engine nobody knows is read as the default", "mine", "vllm:num_requests_running 3", Metrics{Running: 3, Known: HasRunning}},
		{"odd but allowed", "vllm", "\t vllm:num_requests_running { a = \"}\\\\\\\"# \" , } \t3 1700000000\r\nvllm:num_requests_waiting\t4",
			Metrics{Running: 3, Waiting: 4, Known: HasRunning | HasWaiting}},
		{"numbers out of bounds", "vllm", "vllm:num_requests_running -3\nvllm:num_requests_waiting 1e300\nvllm:kv_cache_usage_perc 1.5",
			Metrics{Waiting: math.MaxInt32, KVUsage: 1, Known: all}},
		{"what is no number counts as not there", "vllm",
			"vllm:num_requests_running NaN\nvllm:num_requests_waiting x\nvllm:kv_cache_usage_perc\nvllm:num_requests_waiting{a=b} 1\nvllm:num_requests_waiting{a=\"b\" 1\n", Metrics{}},
		{"cache info without numbers", "vllm", `vllm:cache_config_info{block_size="None",num_gpu_blocks="None"} 1`, Metrics{}},
		{"empty", "vllm", "", Metrics{}},
		{"empty lines", "vllm", "\n\n \n#\n", Metrics{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := readPage(tc.engine, tc.page)
			if got.Waiting != tc.want.Waiting || got.Running != tc.want.Running || got.KVUsage != tc.want.KVUsage ||
				got.BlockSize != tc.want.BlockSize || got.NumBlocks != tc.want.NumBlocks || got.Known != tc.want.Known ||
				got.LoRA.Max != tc.want.LoRA.Max || !slices.Equal(got.LoRA.Running, tc.want.LoRA.Running) ||
				!slices.Equal(got.LoRA.Waiting, tc.want.LoRA.Waiting) || !got.At.Equal(time.Unix(1, 0)) {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
		})
	}
}

func TestOwnEngines(t *testing.T) {
	mine := Engine{Name: "mine", Waiting: Series{Name: "my_queue", Labels: []Label{{"kind", "llm"}}}}
	vllm := Engine{Name: "vllm", Waiting: Series{Name: "other_queue"}}
	e := newEngines([]Engine{mine, vllm}, "engine", "mine")
	for labels, want := range map[*map[string]string]string{
		{"engine": "vllm", EngineLabel: "sglang"}:       "vllm",
		{EngineLabel: "sglang", LegacyEngineLabel: "x"}: "sglang",
		{LegacyEngineLabel: "triton"}:                   "triton",
		{"engine": "nobody's", EngineLabel: "sglang"}:   "mine",
		{}: "mine",
	} {
		if got := e.of(*labels).engine.Name; got != want {
			t.Errorf("%v: engine %s, want %s", *labels, got, want)
		}
	}
	p := &page{}
	e.of(map[string]string{EngineLabel: "vllm"}).read([]byte("other_queue 5\nvllm:num_requests_waiting 6\n"), p)
	if p.sums[numWaiting] != 5 {
		t.Errorf("the replaced engine reads %v waiting, want 5", p.sums[numWaiting])
	}
	e.unnamed.read([]byte("my_queue{kind=\"cv\"} 5\nmy_queue{kind=\"llm\"} 6\n"), p)
	if p.sums[numWaiting] != 6 {
		t.Errorf("the own engine reads %v waiting, want 6", p.sums[numWaiting])
	}
}

func TestParseSeries(t *testing.T) {
	for text, want := range map[string]string{
		"a":                       "{a []}",
		" a:b_c {} ":              "{a:b_c []}",
		"a{k=v}":                  "{a [{k v}]}",
		`a{ k = "v" , l="w w", }`: "{a [{k v} {l w w}]}",
		"":                        "error",
		"{k=v}":                   "error",
		"a{k=v":                   "error",
		"a{k}":                    "error",
		"a}":                      "error",
	} {
		s, err := ParseSeries(text)
		got := fmt.Sprint(s)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("ParseSeries(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
}

// TestSameListsAreNotMadeAgain checks that a server whose adapters do not change costs no new lists.
func TestSameListsAreNotMadeAgain(t *testing.T) {
	text := []byte(`vllm:lora_requests_info{max_lora="4",running_lora_adapters="a\\x,b",waiting_lora_adapters="c"} 1`)
	r := newEngines(nil, "", "").unnamed
	p := &page{}
	r.read(text, p)
	first := (&Metrics{}).next(p, time.Now(), time.Hour)
	second := first.next(p, time.Now(), time.Hour)
	if first.LoRA.Running[0] != `a\x` || &first.LoRA.Running[0] != &second.LoRA.Running[0] {
		t.Errorf("lists %q and %q", first.LoRA.Running, second.LoRA.Running)
	}
	clear(text)
	if second.LoRA.Running[1] != "b" {
		t.Error("the list points into the page")
	}
	r.read([]byte(`vllm:lora_requests_info{running_lora_adapters="b"} 2`), p)
	if third := second.next(p, time.Now(), time.Hour); !slices.Equal(third.LoRA.Running, []string{"b"}) || third.LoRA.Waiting != nil {
		t.Errorf("lists %+v", third.LoRA)
	}
}

// TestCustomNumbers reads the same page as several engines with one scratch.
func TestCustomNumbers(t *testing.T) {
	series := func(text string) Series {
		s, err := ParseSeries(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	e := newEngines([]Engine{
		{Name: "one", Custom: []Custom{{"temperature", series("gpu_temp{gpu=0}")}, {"watts", series("gpu_watts")}, {"none", series("nothing")}, {"odd", series("gpu_odd")}}},
		{Name: "two", Waiting: Series{Name: "queue"}, Custom: []Custom{{"watts", series("gpu_watts{gpu=1}")}}},
	}, "", "")
	text := []byte("gpu_temp{gpu=\"0\"} -3.5\ngpu_temp{gpu=\"1\"} 70\ngpu_watts{gpu=\"0\"} 100\ngpu_watts{gpu=\"1\"} 200.5\ngpu_odd NaN\nqueue 1\n")
	p := &page{}
	read := func(engine string) *Metrics {
		e.byName[engine].read(text, p)
		if p.empty() {
			t.Errorf("%s finds nothing", engine)
		}
		return (&Metrics{}).next(p, time.Now(), time.Hour)
	}
	one, two := read("one"), read("two")
	for _, test := range []struct {
		of    *Metrics
		name  string
		want  float64
		known bool
	}{
		{one, "temperature", -3.5, true}, {one, "watts", 300.5, true}, {one, "none", 0, false}, {one, "odd", 0, false}, {one, "other", 0, false},
		{two, "watts", 200.5, true}, {two, "temperature", 0, false}, {&Metrics{}, "watts", 0, false},
	} {
		got, known := test.of.Custom(test.name)
		if known != test.known || known && got != test.want {
			t.Errorf("%s: %v, %v; want %v, %v", test.name, got, known, test.want, test.known)
		}
	}
	if e.byName["one"].read([]byte("gpu_other 1\n"), p); !p.empty() {
		t.Error("a page without any of the numbers does not count as empty")
	}
	if n := testing.AllocsPerRun(20, func() { e.byName["one"].read(text, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadPageDoesNotAllocate(t *testing.T) {
	text, r, p := vllmPage(), newEngines(nil, "", "").unnamed, &page{}
	if n := testing.AllocsPerRun(20, func() { r.read(text, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.known() != HasWaiting|HasRunning|HasKVUsage|HasCacheInfo|HasLoRA {
		t.Errorf("known %b", p.known())
	}
}

// FuzzPage holds the reader against the Prometheus parser: whatever page that accepts, both find the same in it. No page of any
// engine may give numbers out of bounds.
func FuzzPage(f *testing.F) {
	f.Add([]byte("vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\nvllm:num_requests_waiting 7 1700000000000\n"))
	f.Add([]byte("# TYPE vllm:kv_cache_usage_perc gauge\n vllm:kv_cache_usage_perc { a=\"\\\\\\n\\\"\" , b=\"}\",} +Inf\nx 1\n"))
	f.Add([]byte("vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"28936\"} 1.0\nvllm:num_requests_running NaN\n"))
	f.Add([]byte("vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"a,b\",waiting_lora_adapters=\"\"} 1e9\n"))
	f.Add([]byte("# HELP vllm:num_requests_waiting x\n# TYPE vllm:num_requests_waiting histogram\nvllm:num_requests_waiting_bucket{le=\"1\"} 3\n"))
	f.Add([]byte("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.5\ntrtllm_kv_cache_max_blocks 7e9\nsglang:cache_config_info{page_size=\"1\"} 1\n"))
	own := Engines[0]
	own.Custom = []Custom{{Name: "x", Series: Series{Name: "x"}}}
	e := newEngines([]Engine{own}, "", "")
	r := e.unnamed
	f.Fuzz(func(t *testing.T, text []byte) {
		p := &page{}
		for _, other := range e.byName {
			other.read(text, p)
			checkBounds(t, (&Metrics{}).next(p, time.Now(), time.Hour))
		}
		r.read(text, p)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			return
		}
		for name, number := range map[string]number{
			"vllm:num_requests_running": numRunning, "vllm:num_requests_waiting": numWaiting, "vllm:kv_cache_usage_perc": numKVUsage,
			"x": numbers,
		} {
			if mf := families[name]; mf == nil || mf.GetType() == dto.MetricType_UNTYPED || mf.GetType() == dto.MetricType_GAUGE || mf.GetType() == dto.MetricType_COUNTER {
				sum, n := total(mf)
				got := p.custom[0]
				if number < numbers {
					got = found{p.sums[number], p.seen[number]}
				}
				if n != got.seen || sum != got.sum && !(math.IsNaN(sum) && math.IsNaN(got.sum)) {
					t.Errorf("%s: %d series with %v in all, want %d with %v", name, got.seen, got.sum, n, sum)
				}
			}
		}
	})
}

func checkBounds(t *testing.T, m *Metrics) {
	t.Helper()
	if !(m.KVUsage >= 0 && m.KVUsage <= 1) || m.Running < 0 || m.Waiting < 0 || m.NumBlocks < 0 || m.BlockSize < 0 || m.LoRA.Max < 0 {
		t.Errorf("out of bounds: %+v", m)
	}
	if value, known := m.Custom("x"); math.IsNaN(value) && known {
		t.Error("a custom number that is none")
	}
}

// total adds up the series of a family, as far as they are numbers.
func total(mf *dto.MetricFamily) (sum float64, n int) {
	for _, m := range mf.GetMetric() {
		v := m.GetGauge().GetValue() + m.GetUntyped().GetValue() + m.GetCounter().GetValue()
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum, n
}

// vllmPage is like the page of a vLLM server with one model: about 60 kB, most of it histograms.
func vllmPage() []byte {
	const labels = `engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"`
	var b strings.Builder
	for gen := range 3 {
		fmt.Fprintf(&b, "python_gc_objects_collected_total{generation=\"%d\"} %d.0\n", gen, 12345*gen)
	}
	gauge := func(name string, value any) {
		fmt.Fprintf(&b, "# HELP vllm:%s Something about the engine that is measured all the time.\n# TYPE vllm:%s gauge\nvllm:%s{%s} %v\n", name, name, name, labels, value)
	}
	gauge("num_requests_running", 3.0)
	gauge("num_requests_waiting", 7.0)
	gauge("kv_cache_usage_perc", 0.4321)
	for i := range 20 {
		gauge(fmt.Sprintf("some_counter_%d_total", i), 1e6+float64(i))
	}
	for i := range 16 {
		name := fmt.Sprintf("vllm:request_phase_%d_seconds", i)
		fmt.Fprintf(&b, "# HELP %s Histogram of a phase of requests in seconds.\n# TYPE %s histogram\n", name, name)
		for le := range 26 {
			fmt.Fprintf(&b, "%s_bucket{engine=\"0\",le=\"%g\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"} %d.0\n", name, 0.001*float64(int(1)<<le), 1000+le)
		}
		fmt.Fprintf(&b, "%s_count{%s} 1026.0\n%s_sum{%s} 12345.678\n", name, labels, name, labels)
	}
	b.WriteString(`vllm:cache_config_info{block_size="16",cache_dtype="auto",calculate_kv_scales="False",cpu_offload_gb="0",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.9",num_cpu_blocks="None",num_gpu_blocks="28936",sliding_window="None",swap_space="4"} 1.0` + "\n")
	b.WriteString(`vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters="c"} 1.7e+09` + "\n")
	return []byte(b.String())
}
