package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

// maxEchoDelay bounds the delay that a client of /echo can ask for.
const maxEchoDelay = time.Minute

// maxFrame bounds a message on /ws, in bytes.
const maxFrame = 1 << 20

// echoed is what /echo tells about the request it got.
type echoed struct {
	Server    string      `json:"server"`
	Method    string      `json:"method"`
	Path      string      `json:"path"` // with the query
	Host      string      `json:"host"`
	Proto     string      `json:"proto"`
	Headers   http.Header `json:"headers"`
	BodyBytes int64       `json:"bodyBytes"`
}

// serveEcho answers with the request as it arrived. The query can ask for another status (?status=503) and for
// a wait before the answer (?delay=2s).
func (s *Server) serveEcho(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		badRequest("read the body: %v", err).write(w)
		return
	}
	status, delay, err := echoOptions(r)
	if err != nil {
		badRequest("%v", err).write(w)
		return
	}
	if newPace(time.Now().Add(delay)).wait(r.Context()) != nil {
		abandon()
	}
	_ = writeJSON(w, status, echoed{
		Server: s.endpointName(r), Method: r.Method, Path: r.URL.RequestURI(), Host: r.Host, Proto: r.Proto,
		Headers: r.Header, BodyBytes: n,
	})
}

func echoOptions(r *http.Request) (status int, delay time.Duration, err error) {
	status, query := http.StatusOK, r.URL.Query()
	if v := query.Get("status"); v != "" {
		if status, err = strconv.Atoi(v); err != nil || status < 200 || status > 599 {
			return 0, 0, fmt.Errorf("status is %q, give a number from 200 to 599", v)
		}
	}
	if v := query.Get("delay"); v != "" {
		if delay, err = time.ParseDuration(v); err != nil || delay < 0 || delay > maxEchoDelay {
			return 0, 0, fmt.Errorf("delay is %q, give a duration up to %s", v, maxEchoDelay)
		}
	}
	return status, delay, nil
}

// frame is a websocket message with its kind.
type frame struct {
	kind byte
	data []byte
}

var frames = websocket.Codec{
	Marshal: func(v any) ([]byte, byte, error) {
		f := v.(*frame)
		return f.data, f.kind, nil
	},
	Unmarshal: func(data []byte, kind byte, v any) error {
		*v.(*frame) = frame{kind, data}
		return nil
	},
}

// serveWebsocket sends every message back, text as text and binary as binary, until the client closes or the
// server stops.
func (s *Server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		(&apiError{http.StatusUpgradeRequired, "BadRequestError", "ask for a websocket upgrade over HTTP/1.1"}).write(w)
		return
	}
	hello := http.Header{"X-Sim-Endpoint": {s.endpointName(r)}}
	websocket.Server{
		Handshake: func(c *websocket.Config, _ *http.Request) error {
			c.Header = hello
			return nil
		},
		Handler: func(ws *websocket.Conn) {
			ws.MaxPayloadBytes = maxFrame
			closed := make(chan struct{})
			defer close(closed)
			s.handlers.Add(1)
			go func() {
				defer s.handlers.Done()
				select {
				case <-r.Context().Done():
					_ = ws.Close()
				case <-closed:
				}
			}()
			for {
				var f frame
				if frames.Receive(ws, &f) != nil || frames.Send(ws, &f) != nil {
					return
				}
			}
		},
	}.ServeHTTP(w, r)
}

// MarshalJSON keeps single-valued headers readable: a string where there is one value, a list where there are more.
func (e echoed) MarshalJSON() ([]byte, error) {
	type plain echoed
	headers := make(map[string]any, len(e.Headers))
	for k, v := range e.Headers {
		if len(v) == 1 {
			headers[k] = v[0]
		} else {
			headers[k] = v
		}
	}
	return json.Marshal(struct {
		plain
		Headers map[string]any `json:"headers"`
	}{plain(e), headers})
}
