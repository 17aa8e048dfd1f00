package latency

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options of a Client.
type Options struct {
	// TrainingURL is the base of the training server, PredictionURLs those of the prediction servers.
	TrainingURL    string
	PredictionURLs []string
	// MaxSamples bounds what is sent to the training server every FlushInterval. Of more, a random part is sent.
	MaxSamples    int
	FlushInterval time.Duration
	// TrainingTimeout bounds one call of the training server, PredictionTimeout one of a prediction server, with a second
	// attempt at another one if there is time left.
	TrainingTimeout, PredictionTimeout time.Duration
	// Window is how long predictions wait for others to share a call; 0: they do not.
	Window time.Duration
	// MaxRows is how many predictions one call asks for at most, unless one request alone asks for more.
	MaxRows int
	// MaxCalls is how many calls are under way at once.
	MaxCalls int

	Logger *slog.Logger // nil: slog.Default
}

// Names of environment variables.
const (
	TrainingVariable   = "TRAINING_SERVER_URL"
	PredictionVariable = "PREDICTION_SERVER_URL"
)

// Bounds of numbers in environment variables.
const (
	mostSamples = 1_000_000
	mostRows    = 100_000
	mostCalls   = 1000
)

// Defaults are the options when no environment variable is set.
func Defaults() Options {
	return Options{
		TrainingURL: "http://localhost:8000", PredictionURLs: []string{"http://localhost:8001"},
		MaxSamples: 1000, FlushInterval: time.Second,
		TrainingTimeout: 10 * time.Second, PredictionTimeout: 400 * time.Millisecond,
		Window: time.Millisecond, MaxRows: 1000, MaxCalls: 36,
	}
}

// FromEnvironment reads the options from environment variables: TRAINING_SERVER_URL, PREDICTION_SERVER_URL (several separated by
// commas), LATENCY_MAX_SAMPLE_SIZE, LATENCY_FLUSH_INTERVAL_SEC, LATENCY_HTTP_TIMEOUT_SEC, LATENCY_COALESCE_WINDOW_MS,
// LATENCY_MAX_COALESCED_ROWS and LATENCY_MAX_CONCURRENT_DISPATCHES. What is not set keeps its default.
func FromEnvironment(lookup func(name string) (string, bool)) (Options, error) {
	o := Defaults()
	if given, ok := lookup(TrainingVariable); ok && given != "" {
		o.TrainingURL = given
	}
	if given, ok := lookup(PredictionVariable); ok && given != "" {
		o.PredictionURLs = nil
		for address := range strings.SplitSeq(given, ",") {
			o.PredictionURLs = append(o.PredictionURLs, strings.TrimSpace(address))
		}
	}
	for _, v := range []struct {
		name        string
		least, most int
		set         func(int)
	}{
		{"LATENCY_MAX_SAMPLE_SIZE", 1, mostSamples, func(n int) { o.MaxSamples = n }},
		{"LATENCY_FLUSH_INTERVAL_SEC", 1, 3600, func(n int) { o.FlushInterval = time.Duration(n) * time.Second }},
		{"LATENCY_HTTP_TIMEOUT_SEC", 1, 600, func(n int) { o.TrainingTimeout = time.Duration(n) * time.Second }},
		{"LATENCY_COALESCE_WINDOW_MS", 0, 100, func(n int) { o.Window = time.Duration(n) * time.Millisecond }},
		{"LATENCY_MAX_COALESCED_ROWS", 0, mostRows, func(n int) { o.MaxRows = n }},
		{"LATENCY_MAX_CONCURRENT_DISPATCHES", 1, mostCalls, func(n int) { o.MaxCalls = n }},
	} {
		given, ok := lookup(v.name)
		if !ok || given == "" {
			continue
		}
		n, err := strconv.Atoi(given)
		if err != nil || n < v.least || n > v.most {
			return o, fmt.Errorf("environment variable %s: %q is not a number from %d to %d", v.name, given, v.least, v.most)
		}
		v.set(n)
	}
	if o.MaxRows == 0 { // no bound of its own
		o.MaxRows = mostRows
	}
	return o, o.check()
}

// check refuses addresses that nobody can be asked at, and brings the others to one form.
func (o *Options) check() error {
	var err error
	if o.TrainingURL, err = baseURL(o.TrainingURL); err != nil {
		return fmt.Errorf("environment variable %s: %w", TrainingVariable, err)
	}
	for i := range o.PredictionURLs {
		if o.PredictionURLs[i], err = baseURL(o.PredictionURLs[i]); err != nil {
			return fmt.Errorf("environment variable %s: %w", PredictionVariable, err)
		}
	}
	return nil
}

// baseURL is an address without the slash at its end.
func baseURL(text string) (string, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.RawQuery != "" {
		return "", fmt.Errorf("%q is not an address such as http://localhost:8000", text)
	}
	return strings.TrimRight(text, "/"), nil
}
