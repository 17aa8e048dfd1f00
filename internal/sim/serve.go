package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// route is one path of the API.
type route struct {
	methods []string // none: any
	serve   http.HandlerFunc
}

func (s *Server) buildRoutes() map[string]route {
	get, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	return map[string]route{
		"/v1/chat/completions": {post, func(w http.ResponseWriter, r *http.Request) { s.serveGeneration(w, r, &chatDialect) }},
		"/v1/completions":      {post, func(w http.ResponseWriter, r *http.Request) { s.serveGeneration(w, r, &textDialect) }},
		"/v1/models":           {get, s.serveModels},
		"/metrics":             {get, s.serveMetrics},
		"/health":              {get, ok},
		"/ping":                {append(get, http.MethodPost), ok},
		"/echo":                {nil, s.serveEcho},
		"/ws":                  {nil, s.serveWebsocket},
	}
}

// ServeHTTP answers one request. Every answer names the server in x-sim-endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handlers.Add(1)
	defer s.handlers.Done()
	w.Header().Set("x-sim-endpoint", s.endpointName(r))
	rt, found := s.routes[r.URL.Path]
	switch {
	case !found && (s.cfg.Echo || strings.HasPrefix(r.URL.Path, "/echo/")):
		s.serveEcho(w, r)
	case !found:
		(&apiError{http.StatusNotFound, "NotFoundError", fmt.Sprintf("there is no %s", r.URL.Path)}).write(w)
	case rt.methods != nil && !slices.Contains(rt.methods, r.Method):
		w.Header().Set("Allow", strings.Join(rt.methods, ", "))
		(&apiError{http.StatusMethodNotAllowed, "MethodNotAllowedError",
			fmt.Sprintf("%s takes %s", r.URL.Path, strings.Join(rt.methods, " or "))}).write(w)
	default:
		rt.serve(w, r)
	}
}

func (s *Server) endpointName(r *http.Request) string {
	if s.cfg.Name != "" {
		return s.cfg.Name
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return "sim"
}

func (s *Server) serveModels(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID      string  `json:"id"`
		Object  string  `json:"object"`
		Created int64   `json:"created"`
		OwnedBy string  `json:"owned_by"`
		Root    string  `json:"root"`
		Parent  *string `json:"parent"`
		MaxLen  int     `json:"max_model_len,omitempty"`
	}
	models := []model{{ID: s.cfg.Model, Root: s.cfg.Model, MaxLen: s.contextTokens()}}
	for _, name := range s.cfg.LoRA {
		models = append(models, model{ID: name, Root: name, Parent: &s.cfg.Model})
	}
	for i := range models {
		models[i].Object, models[i].OwnedBy, models[i].Created = "model", "vllm", 1700000000
	}
	_ = writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": models})
}

// Serve answers HTTP/1.1 and cleartext HTTP/2 on the listener until the context ends, then lets requests in
// flight go on for Config.Drain and cuts off the rest. When it returns the listener is closed, every request is
// over and nothing is left running; the error is nil unless the listener failed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	var connections sync.WaitGroup
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler:     s,
		Protocols:   protocols,
		BaseContext: func(net.Listener) context.Context { return requests },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			}
		},
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    64 << 10,
	}

	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Drain)
		_ = srv.Shutdown(drain) // an error means that the time was up; what is left is cut off below
		cancel()
		err = <-served
	}
	cutOff()
	_ = srv.Close()
	connections.Wait()
	s.handlers.Wait() // outlives its connection: a websocket's, or one of HTTP/2
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("simulator %q on %s: %w", s.cfg.Name, l.Addr(), err)
}
