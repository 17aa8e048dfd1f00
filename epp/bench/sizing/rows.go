package main

import (
	"fmt"
	"strconv"
	"strings"
)

// Kinds of rows.
const (
	kindIdle  = "idle"
	kindEPP   = "epp"
	kindProxy = "proxy"
)

// row is one workload of the tables, with what they say of it.
type row struct {
	Kind string
	Rate float64 // requests per second
	In   int     // tokens of a prompt
	Out  int     // tokens of an answer
	// Blocks is how much of a prompt is matched at most, in blocks of 16 tokens as the tables count; of the picker alone.
	Blocks int
	// Streamed answers come token by token, others in one piece; of proxies alone.
	Streamed bool

	GuideCPU    float64 // cores at the peak
	GuideMemory float64 // GiB at the peak
	GuideLess   bool    // the memory is given as "less than"
	GuideWait   string  // of the scheduler, p50
}

// tableBlock is the size of a block in the tables, in tokens.
const tableBlock = 16

// rows are those of the tables, in their order, and before them the picker at rest.
var rows = []row{
	{Kind: kindIdle, Blocks: 8192, GuideCPU: 7.5},

	{Kind: kindEPP, Rate: 5, In: 100_000, Out: 1_000, Blocks: 256, GuideCPU: 1.19, GuideMemory: 0.26, GuideWait: "0.10 ms"},
	{Kind: kindEPP, Rate: 5, In: 100_000, Out: 1_000, Blocks: 6250, GuideCPU: 3.82, GuideMemory: 0.65, GuideWait: "0.10 ms"},
	{Kind: kindEPP, Rate: 98.7, In: 100_000, Out: 1_000, Blocks: 256, GuideCPU: 35.17, GuideMemory: 2.46, GuideWait: "0.14 ms"},
	{Kind: kindEPP, Rate: 98.8, In: 100_000, Out: 1_000, Blocks: 6250, GuideCPU: 46.50, GuideMemory: 3.41, GuideWait: "0.20 ms"},

	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 500, Blocks: 256, GuideCPU: 15.13, GuideMemory: 2.27},
	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 500, Blocks: 2048, GuideCPU: 17.14, GuideMemory: 3.76},
	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 1_000, Blocks: 256, GuideCPU: 17.51, GuideMemory: 3.66},
	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 1_000, Blocks: 2048, GuideCPU: 20.28, GuideMemory: 5.23},
	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 5_000, Blocks: 1024, GuideCPU: 30.95, GuideMemory: 12.54},
	{Kind: kindEPP, Rate: 50, In: 100_000, Out: 10_000, Blocks: 512, GuideCPU: 32.53, GuideMemory: 12.54},

	{Kind: kindProxy, Rate: 10, In: 100_000, Out: 1_000, GuideCPU: 1.20, GuideMemory: 1.30},
	{Kind: kindProxy, Rate: 10, In: 100_000, Out: 1_000, Streamed: true, GuideCPU: 1.20, GuideMemory: 1.30},
	{Kind: kindProxy, Rate: 100, In: 100_000, Out: 1_000, GuideCPU: 7.27, GuideMemory: 1.40, GuideLess: true},
	{Kind: kindProxy, Rate: 100, In: 100_000, Out: 1_000, Streamed: true, GuideCPU: 7.27, GuideMemory: 1.40, GuideLess: true},
	{Kind: kindProxy, Rate: 892, In: 10_000, Out: 1_000, GuideCPU: 8.78, GuideMemory: 1.40},
	{Kind: kindProxy, Rate: 892, In: 10_000, Out: 1_000, Streamed: true, GuideCPU: 8.78, GuideMemory: 1.40},
}

// name is that of the row's result, and without -streamed that of its file of values.
func (r row) name() string {
	if r.Kind == kindIdle {
		return kindIdle
	}
	out := fmt.Sprintf("%s-%.0frps-%s-%s", r.Kind, r.Rate, tokens(r.In), tokens(r.Out))
	if r.Blocks > 0 {
		out += fmt.Sprintf("-prefix-%d", r.Blocks)
	}
	if r.Streamed {
		out += "-streamed"
	}
	return out
}

// matched is how many tokens of a prompt are matched at most.
func (r row) matched() int { return r.Blocks * tableBlock }

func (r row) rate() string { return strconv.FormatFloat(r.Rate, 'f', -1, 64) }

// tokens writes 100k and 500, as the tables do.
func tokens(n int) string {
	if n%1000 == 0 {
		return strconv.Itoa(n/1000) + "k"
	}
	return strconv.Itoa(n)
}

// grouped writes 100 000.
func grouped(n int) string {
	text := strconv.Itoa(n)
	var out []string
	for len(text) > 3 {
		out = append([]string{text[len(text)-3:]}, out...)
		text = text[:len(text)-3]
	}
	return strings.Join(append([]string{text}, out...), " ")
}
