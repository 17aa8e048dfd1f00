// Package drain ends an Envoy without ending a request: it takes the proxy out of its load balancer, waits until
// nothing is served any more, and says when the process may go. It never ends the process itself, and never
// talks to anything but the proxy's own admin interface.
//
//	Now or Pod -> admin interface -> nothing open -> whoever runs the process ends it
package drain

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// maxAnswer bounds one answer of the admin interface, in bytes.
const maxAnswer = 64 << 20

// Admin is the admin interface of one Envoy.
type Admin struct {
	Address netip.AddrPort
	// Name is the proxy's, for messages; the address unless given.
	Name string
}

func (a Admin) name() string {
	if a.Name != "" {
		return a.Name
	}
	return "the proxy at " + a.Address.String()
}

// Request sends one request, such as GET /stats, and gives the body of a 200.
func (a Admin) Request(ctx context.Context, method, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.Address.String()+path, nil)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", a.name(), err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", a.name(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", a.name(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking %s for %s: %s", a.name(), path, resp.Status)
	}
	return string(body), nil
}

// FailReadiness makes the readiness listener answer 503, and every other HTTP listener ask its clients, with
// each answer, to close their connection.
func (a Admin) FailReadiness(ctx context.Context) error {
	_, err := a.Request(ctx, http.MethodPost, "/healthcheck/fail")
	return err
}

// CloseListeners stops listening on the ports of the view, but not on the one that answers for readiness. Worker
// threads do so soon after the answer.
func (a Admin) CloseListeners(ctx context.Context) error {
	_, err := a.Request(ctx, http.MethodPost, "/drain_listeners?inboundonly")
	return err
}

// Work is what a proxy has open on the listeners of its view.
type Work struct {
	Requests    int // HTTP requests and streams that have not ended
	Connections int // HTTP connections, with or without a request
	Raw         int // connections that carry something else: TCP, or TLS that is passed through
}

// Busy tells whether a client waits for something.
func (w Work) Busy() bool { return w.Requests > 0 || w.Raw > 0 }

// workQuery asks for the gauges that Envoy keeps by HTTP connection manager (http.<prefix>) and by listener
// (listener.<address>, and once more by worker thread).
const workQuery = `/stats?filter=^(http|listener)\..*\.downstream_(rq|cx)_active$`

// OpenWork counts what is open.
func (a Admin) OpenWork(ctx context.Context) (Work, error) {
	text, err := a.Request(ctx, http.MethodGet, workQuery)
	if err != nil {
		return Work{}, err
	}
	w, err := parseWork(text)
	if err != nil {
		return Work{}, fmt.Errorf("reading the counters of %s: %w", a.name(), err)
	}
	return w, nil
}

// parseWork reads the answer to workQuery. Envoy has no gauge of connections that are not HTTP: they are what the
// listeners have beyond what the connection managers have.
func parseWork(text string) (Work, error) {
	var w Work
	accepted, managed := 0, 0
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return Work{}, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		kind, rest, _ := strings.Cut(name, ".")
		view := strings.HasPrefix(rest, "http") // the connection managers of views are called http/<port> or https/<port>
		switch {
		case strings.HasPrefix(rest, "admin."):
		case kind == "listener" && !strings.Contains(rest, ".worker_"):
			accepted += n
		case kind == "http" && strings.HasSuffix(rest, ".downstream_cx_active"):
			managed += n
			if view {
				w.Connections += n
			}
		case kind == "http" && view:
			w.Requests += n
		}
	}
	w.Raw = max(0, accepted-managed)
	return w, nil
}
