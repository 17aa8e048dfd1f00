package e2e

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/stack"
)

// maxBody is the largest request body that a pool accepts, in bytes.
const maxBody = 64 << 20

// TestLargeBodies sends bodies of all sizes to a pool: what is served arrives byte for byte, and what is
// larger than the limit is refused before the model server sees any of it.
func TestLargeBodies(t *testing.T) {
	w := newManifests(t, gateway+poolRoute("llm")+pool("llm", "sim")+recorderPods("sim", 1, 1))
	server := startRecorder(t, "1", w.podAddress(1))
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)

	for _, size := range []int{100, 32 << 10, 640 << 10, 896<<10 - 1, 896 << 10, 4 << 20, maxBody} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d chunked=%t", size, chunked), func(t *testing.T) {
				body := promptOfSize(size)
				began := time.Now()
				var r reply
				if chunked {
					r = postChunked(t, w, "/v1/chat/completions", body)
				} else {
					r = w.post("/v1/chat/completions", body)
				}
				took := time.Since(began)
				if r.status != http.StatusOK {
					t.Fatalf("status %d %s", r.status, r.body)
				}
				expectArrived(t, server, body)
				// A chunked body is sent to the picker as a whole, which on a busy machine takes longer than a
				// pick may: the largest one may go without.
				l := w.access.line(t, r.headers.Get("x-request-id"))
				if (size < maxBody || !chunked) && (l.Picked != w.podAddress(1) || l.FailOpen != "false") {
					t.Errorf("access log: %+v", l)
				}
				t.Logf("took %s", took)
			})
		}
	}

	// From where the picker is sent all of a body to where it is sent a part only.
	t.Run("every size between", func(t *testing.T) {
		for size := 600<<10 + 1; size < 1200<<10; size += 7919 {
			body := promptOfSize(size)
			if r := w.post("/v1/chat/completions", body); r.status != http.StatusOK {
				t.Fatalf("%d bytes: status %d %s", size, r.status, r.body)
			}
			expectArrived(t, server, body)
		}
	})

	for _, c := range []struct {
		name, framing string
		write         func(io.Writer)
	}{
		{"announced", fmt.Sprintf("content-length: %d", maxBody+1), func(io.Writer) {}},
		{"announced beyond any number", "content-length: 9223372036854775806", func(io.Writer) {}},
		{"chunked", "transfer-encoding: chunked", writeTooManyChunks},
	} {
		t.Run("too large, "+c.name, func(t *testing.T) {
			conn := w.dial()
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n", c.framing)
			began := time.Now()
			written := make(chan struct{})
			go func() { c.write(conn); close(written) }()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Fatalf("status %d", resp.StatusCode)
			}
			took := time.Since(began)
			t.Logf("took %s", took)
			if c.framing != "transfer-encoding: chunked" && took > 500*time.Millisecond {
				t.Errorf("refused only after %s", took)
			}
			_ = conn.Close()
			<-written
			if got := server.take(); len(got) > 0 {
				t.Errorf("the model server got %d requests, the first of %d bytes", len(got), got[0].size)
			}
		})
	}
}

// TestLongPromptIsServed sends a prompt of 4 MiB to a model server that reads it.
func TestLongPromptIsServed(t *testing.T) {
	const bytes = 4 << 20
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+
		simPods("sim", 1, 2, append(instantSim, "--cache-blocks", "200000")...), worldOptions{})
	prompt := strings.Repeat("word", bytes/4)
	r := w.post("/v1/chat/completions", chat(prompt, false, 1))
	// A token is four bytes, and a few more tokens stand around the prompt.
	var tokens int
	if _, err := fmt.Sscan(r.headers.Get("x-sim-prompt-tokens"), &tokens); err != nil || r.status != http.StatusOK {
		t.Fatalf("status %d, %v: %.200s", r.status, err, r.body)
	}
	if tokens < bytes/4 || tokens > bytes/4+16 {
		t.Errorf("the model server read %d tokens, want %d and a few", tokens, bytes/4)
	}
	if l := w.access.line(t, r.headers.Get("x-request-id")); l.Picked == "" || l.FailOpen != "false" {
		t.Errorf("access log: %+v", l)
	}
	again := w.post("/v1/chat/completions", chat(prompt, false, 1))
	if again.server() != r.server() {
		t.Errorf("the same prompt went to %s, then to %s", r.server(), again.server())
	}
}

// TestSmallRequestsArePicked sends what has no announced body to a pool.
func TestSmallRequestsArePicked(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 2, instantSim...), worldOptions{})
	for _, c := range []struct {
		name string
		ask  func() reply
	}{
		{"GET without a body", func() reply { return w.get("/v1/models") }},
		{"HEAD", func() reply {
			r, err := send(newClient(), http.MethodHead, w.url("/v1/models"), "")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}},
		{"chunked", func() reply { return postChunked(t, w, "/v1/chat/completions", chat("hello", false, 1)) }},
		{"chunked, to the end of the stream", func() reply { return postChunked(t, w, "/v1/chat/completions", chat("hello", true, 1)) }},
		{"content-length 0", func() reply { return w.post("/echo", "", "content-length", "0") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.ask()
			if r.status != http.StatusOK {
				t.Fatalf("status %d %s", r.status, r.body)
			}
			if l := w.access.line(t, r.headers.Get("x-request-id")); l.Picked != w.simAddress(r.server()) || l.FailOpen != "false" {
				t.Errorf("served by %s, access log: %+v", r.server(), l)
			}
		})
	}
	// A chunked prompt counts for affinity as any other does.
	prompt := chat(longPrompt("chunked", 2000), false, 1)
	first := postChunked(t, w, "/v1/chat/completions", prompt)
	for range 5 {
		if r := postChunked(t, w, "/v1/chat/completions", prompt); r.server() != first.server() {
			t.Errorf("the same prompt went to %s, then to %s", first.server(), r.server())
		}
		if r := w.post("/v1/chat/completions", prompt); r.server() != first.server() {
			t.Errorf("the same prompt went to %s, then, with its length announced, to %s", first.server(), r.server())
		}
	}
}

// promptOfSize is a chat completion request of exactly so many bytes.
func promptOfSize(size int) string {
	frame := chat("", false, 1)
	random := rand.New(rand.NewPCG(uint64(size), 1))
	text := make([]byte, size-len(frame))
	for i := range text {
		text[i] = "abcdefghijklmnop"[random.IntN(16)]
	}
	at := strings.Index(frame, `"content":"`) + len(`"content":"`)
	return frame[:at] + string(text) + frame[at:]
}

// expectArrived checks that exactly this body arrived, once.
func expectArrived(t *testing.T, server *recorder, body string) {
	t.Helper()
	got := server.take()
	if len(got) != 1 || got[0].err != nil {
		t.Fatalf("%d requests arrived: %+v", len(got), got)
	}
	if got[0].size != int64(len(body)) || got[0].hash != sha256.Sum256([]byte(body)) {
		t.Errorf("%d bytes arrived, want %d; or they differ", got[0].size, len(body))
	}
}

// postChunked sends a body without saying how long it is.
func postChunked(t *testing.T, w *world, path, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url(path), io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if req.ContentLength > 0 {
		t.Fatal("the length is announced")
	}
	resp, err := newClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: resp.StatusCode, headers: resp.Header, body: string(text)}
}

// dial opens a connection to the fleet's HTTP listener.
func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// writeTooManyChunks writes chunks of a body one byte larger than the limit, until it is refused.
func writeTooManyChunks(out io.Writer) {
	chunk := strings.Repeat("x", 1<<20)
	for left := maxBody + 1; left > 0; left -= len(chunk) {
		chunk = chunk[:min(left, len(chunk))]
		if _, err := fmt.Fprintf(out, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
			return
		}
	}
	_, _ = io.WriteString(out, "0\r\n\r\n") // refused by now or soon
}
