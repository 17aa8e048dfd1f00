package e2e

import (
	"net/netip"
	"testing"
	"time"
)

// outage is a way in which a picker fails its proxies.
type outage struct {
	name string
	// open makes the picker and gives the address where proxies ask, and what makes it fail; a nil fail says
	// that it never worked.
	open func(w *world) (address netip.AddrPort, fail func())
	// held is the longest that a request may wait for this picker.
	held time.Duration
	// noticed is after how long requests do not wait at all any more; 0: they always may.
	noticed time.Duration
}

var outages = []outage{
	{
		name: "never there",
		open: func(w *world) (netip.AddrPort, func()) { return newPickerProcess(w).address, nil },
	}, {
		name: "black hole from the start",
		open: func(w *world) (netip.AddrPort, func()) {
			wire := newWire(w.t, "127.0.0.1:1")
			wire.cut()
			return wire.address(), nil
		},
	}, {
		name: "killed",
		open: func(w *world) (netip.AddrPort, func()) {
			p := newPickerProcess(w)
			p.start()
			return p.address, p.process.kill
		},
		held:    pickerConnects,
		noticed: pickerNoticed,
	}, {
		name: "black-holed",
		open: func(w *world) (netip.AddrPort, func()) {
			p := newPickerProcess(w)
			p.start()
			wire := newWire(w.t, p.address.String())
			return wire.address(), wire.cut
		},
		held:    pickerAnswers,
		noticed: pickerNoticed,
	}, {
		name: "hung after accept",
		open: func(w *world) (netip.AddrPort, func()) {
			p := newPickerProcess(w)
			p.start()
			return p.address, p.pause
		},
		held:    pickerAnswers,
		noticed: pickerNoticed,
	}, {
		name: "healthy but never answers",
		open: func(w *world) (netip.AddrPort, func()) {
			return startFakePicker(w.t, "", nil).address, nil
		},
		held: pickerAnswers,
	},
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
	t.Logf("%d requests, the longest %s; the longest once it must have been noticed %s", len(out), longest, late)
	return out
}

// openOutage makes a world in which a pool with the spec given has this picker.
func (o *outage) openOutage(t *testing.T, spec string) (*world, func()) {
	t.Helper()
	var fail func()
	w := pickerAt(t, gateway+poolRoute("llm")+pool("llm", "sim", spec)+simPods("sim", 1, 3, instantSim...),
		func(w *world) netip.AddrPort {
			var address netip.AddrPort
			address, fail = o.open(w)
			return address
		})
	return w, fail
}
