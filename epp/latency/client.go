package latency

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Errors of Predict. Others that it returns are of the prediction server, and wrap ErrAnswer when that one answered what is no
// answer.
var (
	// ErrAway says that nobody is there to ask.
	ErrAway = errors.New("no prediction server is ready")
	// ErrAnswer says that a server answered something that is no prediction.
	ErrAnswer = errors.New("not a prediction")
)

// Client asks and teaches. Safe for concurrent use.
type Client struct {
	options Options
	http    *http.Client
	log     *slog.Logger
	metrics *Metrics

	servers []*server
	asks    chan *ask
	slots   chan struct{} // one for each call under way
	running atomic.Bool
	stopped chan struct{} // closed when asks are not taken any more
	calls   sync.WaitGroup

	samples samples
}

// New makes a client that does nothing until it runs.
func New(options Options, metrics *Metrics) *Client {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	c := &Client{
		options: options, http: newHTTPClient(options), log: options.Logger, metrics: metrics,
		asks: make(chan *ask), stopped: make(chan struct{}), slots: make(chan struct{}, options.MaxCalls),
		samples: samples{most: options.MaxSamples},
	}
	for _, url := range options.PredictionURLs {
		c.servers = append(c.servers, &server{url: url, trial: options.PredictionTimeout})
	}
	return c
}

// newHTTPClient keeps connections to the few servers there are. Redirects are not followed: a predictor must not choose whom
// we tell about requests.
func newHTTPClient(o Options) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.PredictionTimeout, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost: o.MaxCalls,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
	}
}

// Run sends predictions and samples until the context ends, and leaves nothing behind. It runs once.
func (c *Client) Run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	defer c.calls.Wait()
	work, ctx := errgroup.WithContext(ctx)
	c.running.Store(true)
	work.Go(func() error {
		defer close(c.stopped)
		c.dispatch(ctx)
		return nil
	})
	work.Go(func() error {
		c.train(ctx)
		return nil
	})
	return work.Wait()
}

// Predict asks for the latency of each row, in their order, and puts it into out, which is as long. It returns when the context
// ends at the latest, and at once when nobody is there to ask: an error that wraps ErrAway.
func (c *Client) Predict(ctx context.Context, rows []Features, out []Prediction) error {
	if len(rows) == 0 {
		return nil
	}
	if !c.running.Load() || !c.ready(time.Now()) {
		return ErrAway
	}
	a := newAsk(rows)
	select {
	case c.asks <- a:
	case <-c.stopped:
		a.release()
		return ErrAway
	case <-ctx.Done():
		a.release()
		return ctx.Err()
	}
	select {
	case result := <-a.done:
		copy(out, result.predictions)
		a.release()
		return result.err
	case <-ctx.Done():
		a.left.Store(true) // its memory is still in use
		return ctx.Err()
	}
}

// ready tells whether a prediction server may be asked.
func (c *Client) ready(now time.Time) bool {
	for _, s := range c.servers {
		if s.ready(now) {
			return true
		}
	}
	return false
}
