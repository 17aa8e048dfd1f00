package burst

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is what became of one request.
type Result struct {
	Index     int // from 1, in order of group and turn
	Group     int // from 1
	Turn      int // from 1
	RequestID string
	Target    string // base URL

	Proxy    string // "" when not known
	Endpoint string // "" when not known
	Streamed bool
	Status   int // 0 when there was no answer

	TTFB  time.Duration // from the start, connecting included, to the first event or byte
	Total time.Duration // to the last byte
	// FirstEventDelay is the time from the server's writing the first event to its arrival here, 0 when the server
	// does not tell. Both must be on one machine.
	FirstEventDelay time.Duration

	PromptTokens int
	CachedTokens int
	OutputTokens int
	Done         bool   // a streamed answer ended with [DONE]
	Err          string // "" for an answer with status 200 that could be read to its end
}

// Report is what became of a burst.
type Report struct {
	Results []Result
	Elapsed time.Duration
}

// HitRate is the share of all prompt tokens that the servers had cached, 0 when there were none.
func (r *Report) HitRate() float64 {
	prompt, cached := 0, 0
	for _, x := range r.Results {
		prompt += x.PromptTokens
		cached += x.CachedTokens
	}
	if prompt == 0 {
		return 0
	}
	return float64(cached) / float64(prompt)
}

// PerProxy counts requests by proxy.
func (r *Report) PerProxy() map[string]int {
	return tally(r.Results, func(x *Result) string { return x.Proxy })
}

// PerEndpoint counts requests by the server that answered.
func (r *Report) PerEndpoint() map[string]int {
	return tally(r.Results, func(x *Result) string { return x.Endpoint })
}

// Failed lists the requests that were not answered in full with status 200.
func (r *Report) Failed() []Result {
	var out []Result
	for _, x := range r.Results {
		if x.Err != "" || x.Status != http.StatusOK {
			out = append(out, x)
		}
	}
	return out
}

func tally(results []Result, name func(*Result) string) map[string]int {
	counts := make(map[string]int)
	for i := range results {
		counts[name(&results[i])]++
	}
	return counts
}

// WriteTo writes the table and the summary under it.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.String())
	return int64(n), err
}

// String is the table and the summary under it.
func (r *Report) String() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "#\tGROUP\tPROXY\tENDPOINT\tSTATUS\tTTFB\tTOTAL\tPROMPT\tCACHED\tTOKENS")
	for _, x := range r.Results {
		fmt.Fprintf(t, "%d\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", x.Index, x.Group, dash(x.Proxy), dash(x.Endpoint),
			status(&x), milliseconds(x.TTFB), milliseconds(x.Total), x.PromptTokens, x.CachedTokens, x.OutputTokens)
	}
	_ = t.Flush() // a Builder does not fail
	b.WriteByte('\n')
	r.summarize(&b)
	return b.String()
}

func (r *Report) summarize(b *strings.Builder) {
	failed := r.Failed()
	fmt.Fprintf(b, "requests    %d in %s, %d failed\n", len(r.Results), milliseconds(r.Elapsed), len(failed))
	fmt.Fprintf(b, "proxies     %s\n", counted(r.PerProxy()))
	fmt.Fprintf(b, "endpoints   %s\n", counted(r.PerEndpoint()))
	fmt.Fprintf(b, "prefix hits %.0f %% of prompt tokens\n", 100*r.HitRate())
	for _, x := range failed {
		fmt.Fprintf(b, "failed      #%d %s: %s\n", x.Index, x.RequestID, x.Err)
	}
}

// counted writes "a 3, b 5", in order of the names.
func counted(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", dash(name), counts[name]))
	}
	return strings.Join(parts, ", ")
}

// status is the number, with a mark when the answer was not as it should be all the same.
func status(x *Result) string {
	switch {
	case x.Status == 0:
		return "error"
	case x.Status == http.StatusOK && x.Err != "":
		return "200!"
	}
	return strconv.Itoa(x.Status)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

func dash(s string) string { return cmp.Or(s, "-") }
