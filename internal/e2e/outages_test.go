package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// outage is a way in which a picker fails its proxies.
type outage struct {
	name string
	open func(w *world) patient
	// held is the longest that a request may wait for this picker.
	held time.Duration
	// noticed is after how long requests do not wait at all any more; 0: they always may.
	noticed time.Duration
}

// patient is a picker that is about to fail.
type patient struct {
	address    netip.AddrPort // where proxies ask
	fail, mend func()         // nil: it never works
}

var outages = []outage{
	{
		name: "never there",
		open: func(w *world) patient { return patient{address: newPickerProcess(w).address} },
	}, {
		name: "black hole from the start",
		open: func(w *world) patient {
			wire := newWire(w.t, "127.0.0.1:0", "127.0.0.1:1")
			wire.cut()
			return patient{address: wire.address()}
		},
	}, {
		name: "killed",
		open: func(w *world) patient {
			p := newPickerProcess(w)
			p.start()
			return patient{p.address, p.process.kill, p.start}
		},
		held:    pickerConnects,
		noticed: pickerNoticed,
	}, {
		name: "black-holed",
		open: func(w *world) patient {
			wire := wireToPicker(w)
			return patient{wire.address(), wire.cut, wire.mend}
		},
		held:    pickerAnswers,
		noticed: pickerNoticed,
	}, {
		name: "crashed with its machine",
		open: func(w *world) patient {
			wire := wireToPicker(w)
			return patient{wire.address(), func() { wire.cut(); wire.drop() }, wire.mend}
		},
		held:    pickerConnects,
		noticed: pickerNoticed,
	}, {
		name: "hung after accept",
		open: func(w *world) patient {
			p := newPickerProcess(w)
			p.start()
			return patient{p.address, p.pause, p.resume}
		},
		held:    pickerAnswers,
		noticed: pickerNoticed,
	}, {
		name: "healthy but never answers",
		open: func(w *world) patient { return patient{address: startFakePicker(w.t, "", nil).address} },
		held: pickerAnswers,
	},
}

func wireToPicker(w *world) *wire {
	p := newPickerProcess(w)
	p.start()
	return newWire(w.t, "127.0.0.1:0", p.address.String())
}

// timed is a request with how long it took and when, counted from the outage on, it began.
type timed struct {
	reply
	began, took time.Duration
}

// suffer lets a picker fail and sends requests from then on until a while after it must have been noticed.
// It checks that none is held up for longer than the outage allows.
func (o *outage) suffer(t *testing.T, w *world, fail func()) []timed {
	t.Helper()
	if fail != nil {
		w.picked(10 * time.Second)
		fail()
	}
	start := time.Now()
	var out []timed
	var longest, late time.Duration
	for n := 0; n < 5 || time.Since(start) < o.noticed+500*time.Millisecond; n++ {
		began := time.Since(start)
		r := w.post("/v1/chat/completions", chat("hello", false, 1))
		took := time.Since(start) - began
		out = append(out, timed{r, began, took})
		allowed := o.held
		if o.noticed > 0 && began > o.noticed+pickerSlack {
			allowed = 0
			late = max(late, took)
		}
		longest = max(longest, took)
		if took > allowed+pickerSlack {
			t.Errorf("%s after the outage a request took %s, more than %s", began, took, allowed+pickerSlack)
		}
	}
	// Slack aside: what each of the first requests waits for is what was promised, not something longer.
	fastest := min(out[0].took, out[1].took, out[2].took)
	if fastest > o.held+pickerSlack/4 {
		t.Errorf("the first three requests took %s at least, more than %s", fastest, o.held)
	}
	t.Logf("%d requests, the longest %s, of the first three the shortest %s; the longest once it must have been noticed %s", len(out), longest, fastest, late)
	return out
}

// openOutage makes a world in which a pool with the spec given has this picker.
func (o *outage) openOutage(t *testing.T, spec string) (*world, patient) {
	t.Helper()
	var p patient
	w := pickerAt(t, gateway+poolRoute("llm")+pool("llm", "sim", spec)+simPods("sim", 1, 3, instantSim...),
		func(w *world) netip.AddrPort {
			p = o.open(w)
			return p.address
		})
	return w, p
}

// recover brings a picker back and waits until it is asked again.
func (p *patient) recover(t *testing.T, w *world) {
	t.Helper()
	if p.mend == nil {
		return
	}
	p.mend()
	began := time.Now()
	w.picked(pickerBack + pickerSlack)
	t.Logf("asked again after %s", time.Since(began))
	expectAffinity(t, w)
}

// pickerUnderTest makes a world with a pool of four simulators and a picker in a process of its own, in
// working order.
func pickerUnderTest(t *testing.T, spec string, simArgs ...string) (*world, *pickerProcess) {
	t.Helper()
	var p *pickerProcess
	w := pickerAt(t, gateway+poolRoute("llm")+pool("llm", "sim", spec)+simPods("sim", 1, 4, simArgs...),
		func(w *world) netip.AddrPort {
			p = newPickerProcess(w)
			p.start()
			return p.address
		})
	w.picked(10 * time.Second)
	return w, p
}

// loaded is a request of a load, its times counted from the kill of the picker on.
type loaded struct {
	timed
	whileDead bool // began after the kill and ended before the picker was started again
}

// killUnderLoad sends requests from eight clients without a pause, kills the picker among them, starts it
// again, and goes on until it is asked again.
func killUnderLoad(t *testing.T, w *world, p *pickerProcess) []loaded {
	t.Helper()
	const clients, before, dead = 8, 300 * time.Millisecond, 1500 * time.Millisecond
	stop := make(chan struct{})
	done := make(chan []loaded, clients)
	client := newKeepAliveClient(t)
	start := time.Now()
	for range clients {
		go func() {
			var out []loaded
			for {
				select {
				case <-stop:
					done <- out
					return
				default:
				}
				began := time.Since(start)
				r, err := send(client, http.MethodPost, w.url("/v1/chat/completions"), chat("hello", false, 1))
				if err != nil {
					r.body = err.Error()
				}
				out = append(out, loaded{timed: timed{r, began, time.Since(start) - began}})
			}
		}()
	}
	waitUntil(t, start.Add(before))
	killed := time.Since(start)
	p.process.kill()
	waitUntil(t, start.Add(killed+dead))
	restarted := time.Since(start)
	p.start()
	ready := time.Now()
	w.picked(10 * time.Second)
	back := time.Since(ready)
	close(stop)
	var out []loaded
	var longest time.Duration
	for range clients {
		for _, r := range <-done {
			r.whileDead = r.began > killed && r.began+r.took < restarted
			r.began -= killed
			longest = max(longest, r.took)
			out = append(out, r)
		}
	}
	t.Logf("%d requests, the longest %s; asked again %s after the picker was ready", len(out), longest, back)
	if back > pickerBack+pickerSlack {
		t.Errorf("the picker was asked only %s after it came back", back)
	}
	return out
}

// waitUntil passes time under load.
func waitUntil(t *testing.T, then time.Time) {
	t.Helper()
	eventually(t, time.Until(then)+time.Minute, "time passes", func() bool { return !time.Now().Before(then) })
}

// expectAffinity checks that a long prompt returns to the server that has it cached.
func expectAffinity(t *testing.T, w *world) {
	t.Helper()
	for group := range 3 {
		prompt := longPrompt(fmt.Sprintf("after %d", group), 4000)
		first := w.post("/v1/chat/completions", chat(prompt, false, 1))
		for range 4 {
			r := w.post("/v1/chat/completions", chat(prompt, false, 1))
			if r.status != http.StatusOK || r.server() != first.server() || r.headers.Get("x-sim-cached-tokens") == "0" {
				t.Fatalf("status %d, from %q with %s tokens cached, want %q with most of them", r.status, r.server(),
					r.headers.Get("x-sim-cached-tokens"), first.server())
			}
			l := w.access.line(t, r.headers.Get("x-request-id"))
			if l.FailOpen != "false" || l.Picked == "" || l.Picked != l.Served {
				t.Fatalf("access log: %+v", l)
			}
		}
	}
}

// longPrompt is a text of about so many tokens that differs from those of other seeds from its start on.
func longPrompt(seed string, tokens int) string {
	var b strings.Builder
	for i := 0; b.Len() < 4*tokens; i++ {
		fmt.Fprintf(&b, "%s sentence %d. ", seed, i)
	}
	return b.String()
}

// streamOutlivesPicker loses the picker while a model server works on a request, at each point where that
// makes a difference, and checks that the answer comes whole and in time.
func streamOutlivesPicker(t *testing.T, spec string) {
	const firstToken, interToken, tokens = 200 * time.Millisecond, 10 * time.Millisecond, 40
	for _, c := range []struct {
		name   string
		stream bool
		early  bool // the answer has not begun
		lose   func(*pickerProcess)
		late   time.Duration // what the loss may cost: an answer that the proxy waits for
	}{
		{"killed before the first token", true, true, func(p *pickerProcess) { p.process.kill() }, 0},
		{"killed amid the stream", true, false, func(p *pickerProcess) { p.process.kill() }, 0},
		{"killed before a whole answer", false, true, func(p *pickerProcess) { p.process.kill() }, 0},
		{"hung before the first token", true, true, (*pickerProcess).pause, pickerAnswers},
		{"hung amid the stream", true, false, (*pickerProcess).pause, pickerAnswers},
		{"hung before a whole answer", false, true, (*pickerProcess).pause, pickerAnswers},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p := pickerUnderTest(t, spec, "--first-token", firstToken.String(), "--inter-token", interToken.String())
			began := time.Now()
			s := openStream(t, w, chat("tell me", c.stream, tokens))
			if !c.early {
				s.next()
			} else {
				eventually(t, 5*time.Second, "a simulator works", func() bool { return w.running() == 1 })
			}
			c.lose(p)
			s.finish()
			took, want := time.Since(began), firstToken+tokens*interToken
			t.Logf("took %s, %s more than it had to", took, took-want)
			if took > want+c.late+pickerSlack {
				t.Errorf("the answer took %s", took)
			}
			if s.status != http.StatusOK || c.stream && (s.events != tokens+1 || !s.done) || s.words() != tokens {
				t.Fatalf("status %d, %d events, %d words, done %t: %s", s.status, s.events, s.words(), s.done, s.text)
			}
			if l := w.access.line(t, s.requestID); l.Picked == "" || l.Served != l.Picked || l.FailOpen != "false" {
				t.Errorf("access log: %+v", l)
			}
		})
	}
}

// misleadings are picks of addresses that cannot serve. $NET.1 and .2 serve, .3 is in the pool and refuses
// connections, .9 serves another pool, 203.0.113.7 is nowhere.
var misleadings = []struct {
	name, picks string
	serves      string // the only one that may; empty: no pick can, whoever serves is the failure mode's doing
}{
	{"gone", "203.0.113.7:8000", ""},
	{"of another pool", "$NET.9:8000", ""},
	{"another port", "$NET.1:8001", ""},
	{"no address", "nonsense", ""},
	{"empty", "", ""},
	{"dead", "$NET.3:8000", ""},
	{"gone, then one that serves", "203.0.113.7:8000,$NET.2:8000", "$NET.2:8000"},
	{"dead, then one that serves", "$NET.3:8000,$NET.1:8000", "$NET.1:8000"},
	{"one that serves", "$NET.2:8000", "$NET.2:8000"},
}

// misledPicker is a picker that names what it is told to.
type misledPicker struct {
	mu     sync.Mutex
	picked string
}

func (p *misledPicker) name(picked string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.picked = picked
}

func (p *misledPicker) pick() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.picked
}

func misledWorld(t *testing.T, spec string) (*world, *misledPicker) {
	t.Helper()
	p := &misledPicker{}
	w := pickerAt(t, gateway+poolRoute("llm")+pool("llm", "sim", spec)+simPods("sim", 1, 2, instantSim...)+
		deadPod("sim", 3)+pool("other", "other")+simPods("other", 9, 1, instantSim...),
		startFakePicker(t, "", p.pick).addrPort)
	p.name(w.podAddress(1))
	w.picked(10 * time.Second)
	return w, p
}

// deadPod is a pod that is ready, though nothing listens at its address $NET.<n>.
func deadPod(app string, n int) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s-%d-dead, namespace: default, labels: {app: %s}}
spec:
  containers: [{name: server, image: example.com/server}]
status:
  podIP: $NET.%d
  conditions: [{type: Ready, status: "True"}]
`, app, n, app, n)
}

// running is the number of requests that the simulators work on.
func (w *world) running() int {
	n := 0
	for _, s := range w.sims {
		n += s.Stats().Running
	}
	return n
}

// askMisled sends a request that is given these picks; it must not wait longer than for a connection.
func askMisled(t *testing.T, w *world, p *misledPicker, picks string) reply {
	t.Helper()
	p.name(w.fill(picks))
	began := time.Now()
	r := w.post("/v1/chat/completions", chat("hello", false, 1))
	if took := time.Since(began); took > pickerConnects+pickerSlack {
		t.Errorf("took %s", took)
	}
	return r
}
