package xds

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/switchyard/switchyard/translate/resource"
)

// State is what /debug/xds shows.
type State struct {
	Proxies []ProxyState `json:"proxies"`
}

// ProxyState is one connected proxy.
type ProxyState struct {
	Node        string    `json:"node"`
	View        string    `json:"view"`
	ViewExists  bool      `json:"viewExists"`
	Address     string    `json:"address"`
	Connected   time.Time `json:"connected"`
	LastMessage time.Time `json:"lastMessage"`
	// Received and Sent count the messages of the stream; Queued are responses that wait to be written.
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
	Queued   int   `json:"queued"`
	// GateDeadlinesExpired counts listeners and route tables sent before all they refer to was acknowledged.
	GateDeadlinesExpired int64 `json:"gateDeadlinesExpired"`
	// Missing are the clusters and endpoints that gates wait for, or have waited for.
	Missing []string    `json:"missing,omitempty"`
	Synced  bool        `json:"synced"`
	Types   []TypeState `json:"types"`
}

// TypeState is what one proxy has of one resource type. Hashes cover names and versions in any order: two proxies with
// the same hash have the same resources. Wanted and Acknowledged differ while a change is under way, while a removal
// waits for its grace, and as long as a rejection stands.
type TypeState struct {
	Type         string `json:"type"`
	Subscribed   bool   `json:"subscribed"`
	Wanted       string `json:"wantedHash"`
	Acknowledged string `json:"acknowledgedHash"`
	Synced       bool   `json:"synced"`
	// OldestUnacknowledged is in seconds, 0 when everything is acknowledged or rejected.
	OldestUnacknowledged float64 `json:"oldestUnacknowledgedSeconds"`
	// NACK is the text of the latest rejection, empty after a later acknowledgement. LastNACK stays: what a proxy
	// refused is soon replaced by something that it takes. Its age is in seconds.
	NACK        string  `json:"nack,omitempty"`
	LastNACK    string  `json:"lastNack,omitempty"`
	LastNACKAge float64 `json:"lastNackAgeSeconds,omitempty"`

	WantedCount    int `json:"wanted"`
	Acked          int `json:"acknowledged"`
	Unacknowledged int `json:"unacknowledged"`
	Held           int `json:"held"`     // of those, waiting for a reference or for this replica to catch up
	Removing       int `json:"removing"` // not wanted any more, still there
	Rejected       int `json:"rejected"`
}

// State describes every connected proxy, in the order in which they came. An empty view or node matches all.
func (s *Server) State(view, node string) State {
	out := State{Proxies: []ProxyState{}}
	now := s.opts.Clock.Now()
	for _, c := range s.listConns() {
		if (view == "" || c.viewName == view) && (node == "" || c.nodeID == node) {
			out.Proxies = append(out.Proxies, c.describe(now))
		}
	}
	return out
}

// DebugHandler answers GET /debug/xds with State as JSON; ?view= and ?node= select.
func (s *Server) DebugHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(s.State(r.FormValue("view"), r.FormValue("node"))) // the client has gone
	})
}

// Synced says whether the proxy has acknowledged, or rejected, everything that it is to have now. Removals that wait
// for their grace do not count. A proxy that is not connected, or whose view does not exist, is not synced.
func (s *Server) Synced(view, node string) bool {
	conns := s.listConns()
	for i := len(conns) - 1; i >= 0; i-- { // the latest stream of a proxy is the one that counts
		if c := conns[i]; c.viewName == view && c.nodeID == node {
			return c.describe(s.opts.Clock.Now()).Synced
		}
	}
	return false
}

// WaitSynced waits until at least n proxies of a view are connected and all of them are synced.
func (s *Server) WaitSynced(ctx context.Context, view string, n int) error {
	for {
		moved := s.progress.next()
		count, all := 0, true
		for _, p := range s.State(view, "").Proxies {
			count++
			all = all && p.Synced
		}
		if count >= n && all {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progress wakes those who wait for some proxy to get on.
type progress struct {
	mu sync.Mutex
	ch chan struct{} // nil while nobody waits
}

func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch == nil {
		p.ch = make(chan struct{})
	}
	return p.ch
}

func (p *progress) announce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch != nil {
		close(p.ch)
		p.ch = nil
	}
}

// describe costs what differs from the view, not the view, unless the proxy has not asked for something yet.
func (c *conn) describe(now time.Time) ProxyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := ProxyState{
		Node: c.nodeID, View: c.viewName, ViewExists: c.live, Address: c.address,
		Connected: c.since, LastMessage: c.lastMessage,
		Received: c.received, Sent: c.sent, Queued: len(c.queue) + len(c.handed),
		GateDeadlinesExpired: c.expired,
		Synced:               c.live,
	}
	for k := range c.warming {
		p.Missing = append(p.Missing, k.kind.String()+"/"+k.name)
	}
	slices.Sort(p.Missing)
	tallies := c.tally()
	unasked := c.unasked()
	for k := range kindCount {
		st, t := &c.kinds[k], &tallies[k]
		ts := TypeState{
			Type: kindNames[k], Subscribed: st.started, NACK: st.nack,
			Wanted: hashText(t.wantedSum), Acknowledged: hashText(t.ackedSum),
			WantedCount: t.wanted, Acked: t.acked,
			Unacknowledged: t.unacked, Held: t.held, Removing: t.removing, Rejected: t.rejected,
		}
		if st.lastNACK != "" {
			ts.LastNACK, ts.LastNACKAge = st.lastNACK, now.Sub(st.nackedAt).Seconds()
		}
		if !t.oldest.IsZero() {
			ts.OldestUnacknowledged = now.Sub(t.oldest).Seconds()
		}
		required := k == clusterKind || k == listenerKind // what every proxy asks for
		ts.Synced = c.live && t.unacked == 0 && !unasked[k] && (st.started || !required)
		p.Synced = p.Synced && ts.Synced
		p.Types = append(p.Types, ts)
	}
	return p
}

// tally is what describe counts of one kind.
type tally struct {
	wantedSum, ackedSum uint64
	wanted, acked       int
	unacked, held       int
	removing, rejected  int
	oldest              time.Time
}

// tally starts from the view as a whole, which is what the proxy has by default, and corrects it by the exceptions.
func (c *conn) tally() (out [kindCount]tally) {
	for k := range kindCount {
		if c.kinds[k].started {
			sum, n := c.view.sum[k], c.view.count[k]
			out[k] = tally{wantedSum: sum, ackedSum: sum, wanted: n, acked: n}
		}
	}
	for k, e := range c.entries {
		t := &out[k.kind]
		if !c.kinds[k.kind].started {
			continue
		}
		inView, want := c.view.get(k), c.wanted(k, e)
		t.wantedSum += sumOf(want) - sumOf(inView)
		t.ackedSum += sumOf(e.has) - sumOf(inView)
		t.wanted += one(want) - one(inView)
		t.acked += one(e.has) - one(inView)
		switch {
		case want != nil && want.Version == e.rejected:
			t.rejected++
			continue
		case want == nil && e.has != nil && k.kind != listenerKind:
			t.removing++
			continue
		case sameVersion(want, e.has) && e.flight == nil && !e.force:
			continue
		}
		t.unacked++
		if e.has != nil && want == nil {
			t.removing++
		}
		if !e.gatedAt.IsZero() || c.server.opts.Clock.Now().Before(e.holdUntil) {
			t.held++
		}
		if !e.since.IsZero() && (t.oldest.IsZero() || e.since.Before(t.oldest)) {
			t.oldest = e.since
		}
	}
	return out
}

func one(r *resource.Resource) int {
	if r == nil {
		return 0
	}
	return 1
}

// unasked finds the kinds of which the proxy has yet to ask for something that it needs: the endpoints of a cluster it
// has, the route table of a listener it has. Between the acknowledgement of the one and the request for the other it
// would seem to have all it wants.
func (c *conn) unasked() (out [kindCount]bool) {
	if !c.missesNames() {
		return out
	}
	for _, from := range [...]kind{clusterKind, listenerKind} {
		for _, r := range c.view.of(from) {
			if e := c.look(key{from, r.Name}); !sameVersion(e.has, r) {
				continue
			}
			for _, ref := range r.Refs {
				k, ok := keyOf(ref)
				if !ok || c.view.get(k) == nil {
					continue
				}
				if e := c.look(k); !c.interested(k, &e) {
					out[k.kind] = true
				}
			}
		}
	}
	return out
}

// missesNames says whether there is anything in the view that the proxy has not asked for.
func (c *conn) missesNames() bool {
	for k := range kindCount {
		if !c.kinds[k].started && c.view.count[k] > 0 {
			return true
		}
	}
	for k, e := range c.entries {
		if c.view.get(k) != nil && !c.interested(k, e) {
			return true
		}
	}
	return false
}
