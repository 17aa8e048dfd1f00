package load

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Report is what came of a load, in the order in which requests ended.
type Report struct {
	Samples []Sample
}

// Not gives the requests without a whole answer of this status.
func (r Report) Not(status int) []Sample {
	return r.filter(func(s Sample) bool { return !s.Is(status) })
}

// Failed gives the requests that were not answered 200 to the end.
func (r Report) Failed() []Sample { return r.Not(http.StatusOK) }

// Since keeps the requests that began at or after a time.
func (r Report) Since(when time.Time) Report {
	return Report{r.filter(func(s Sample) bool { return !s.Began.Before(when) })}
}

// Shape keeps the requests of one shape.
func (r Report) Shape(name string) Report {
	return Report{r.filter(func(s Sample) bool { return s.Shape == name })}
}

func (r Report) filter(keep func(Sample) bool) (out []Sample) {
	for _, s := range r.Samples {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

// Longest is the request without a stream that took longest.
func (r Report) Longest() (longest Sample) {
	for _, s := range r.Samples {
		if !s.Stream && s.Took > longest.Took {
			longest = s
		}
	}
	return longest
}

// String counts by shape and outcome, with the first text of each kind of error.
func (r Report) String() string {
	counts, first := map[string]map[string]int{}, map[string]string{}
	for _, s := range r.Samples {
		outcome := fmt.Sprint(s.Status)
		switch {
		case s.Err != "" && s.Status != 0:
			outcome += " and cut"
		case s.Err != "":
			outcome = "no answer"
		}
		if counts[s.Shape] == nil {
			counts[s.Shape] = map[string]int{}
		}
		counts[s.Shape][outcome]++
		if _, known := first[outcome]; !known && !s.Is(http.StatusOK) {
			first[outcome] = s.String()
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests", len(r.Samples))
	for _, shape := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "; %s:", shape)
		for _, outcome := range slices.Sorted(maps.Keys(counts[shape])) {
			fmt.Fprintf(&b, " %d x %s", counts[shape][outcome], outcome)
		}
	}
	for _, outcome := range slices.Sorted(maps.Keys(first)) {
		fmt.Fprintf(&b, "\n  first %s: %s", outcome, first[outcome])
	}
	return b.String()
}
