package latency

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Prediction is how long a request would take at an endpoint.
type Prediction struct {
	// TTFT and TPOT are the time to the first token and per further one, in milliseconds.
	TTFT, TPOT float64
}

// ask is the question of one request.
type ask struct {
	rows int
	json []byte // objects, separated by commas
	done chan result
	left atomic.Bool // nobody waits any more
}

type result struct {
	predictions []Prediction
	err         error
}

var asks = sync.Pool{New: func() any { return &ask{done: make(chan result, 1)} }}

func newAsk(rows []Features) *ask {
	a := asks.Get().(*ask)
	a.rows, a.json = len(rows), a.json[:0]
	for i := range rows {
		if i > 0 {
			a.json = append(a.json, ',')
		}
		a.json = append(a.json, '{')
		a.json = rows[i].appendMembers(a.json)
		a.json = append(a.json, '}')
	}
	return a
}

// release gives the memory back. Nobody else may have the ask any more.
func (a *ask) release() {
	const kept = 1 << 16
	if cap(a.json) <= kept {
		asks.Put(a)
	}
}

// dispatch gathers asks and sends them in batches until the context ends. A batch is sent when its first ask has waited for the
// window, or enough rows are there; when too many calls are under way it grows until one has ended.
func (c *Client) dispatch(ctx context.Context) {
	var waiting []*ask
	rows := 0
	window := time.NewTimer(time.Hour)
	defer window.Stop()
	due := false
	for {
		var slots chan struct{}
		if due {
			slots = c.slots
		}
		select {
		case <-ctx.Done():
			for _, a := range waiting {
				a.done <- result{err: ErrAway}
			}
			return
		case a := <-c.asks:
			if len(waiting) == 0 {
				window.Reset(c.options.Window)
			}
			waiting = append(waiting, a)
			rows += a.rows
			due = due || rows >= c.options.MaxRows || c.options.Window == 0
		case <-window.C:
			due = len(waiting) > 0
		case slots <- struct{}{}:
			batch := c.take(&waiting, &rows)
			c.calls.Go(func() {
				defer func() { <-c.slots }()
				c.send(ctx, batch)
			})
			due = len(waiting) > 0
		}
	}
}

// take removes the asks of one call from those that wait: the oldest, as many as a call may have rows, at least one.
func (c *Client) take(waiting *[]*ask, rows *int) []*ask {
	n, taken := 0, 0
	for _, a := range *waiting {
		if n > 0 && taken+a.rows > c.options.MaxRows {
			break
		}
		taken += a.rows
		n++
	}
	batch := (*waiting)[:n:n]
	*waiting = append([]*ask(nil), (*waiting)[n:]...)
	*rows -= taken
	return batch
}

// send has the asks of a batch answered by one call, those that somebody still waits for.
func (c *Client) send(ctx context.Context, batch []*ask) {
	kept, rows := batch[:0], 0
	for _, a := range batch {
		if !a.left.Load() {
			kept = append(kept, a)
			rows += a.rows
		}
	}
	if len(kept) == 0 {
		return
	}
	predictions, err := c.call(ctx, encode(kept), rows)
	for _, a := range kept {
		if err != nil {
			a.done <- result{err: err}
			continue
		}
		mine := predictions[:a.rows:a.rows]
		predictions = predictions[a.rows:]
		a.done <- result{predictions: mine} // from here on it may be the ask of another request
	}
}

// encode makes the body of a call.
func encode(batch []*ask) []byte {
	size := 32
	for _, a := range batch {
		size += len(a.json) + 1
	}
	body := append(make([]byte, 0, size), `{"requests":[`...)
	for i, a := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, a.json...)
	}
	return append(body, "]}"...)
}
