package kubernetes

import (
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// mode is what is wanted of a Gateway's fleet.
type mode int

const (
	serve  mode = iota // it is to be as its Gateway says
	keep               // the Gateway is refused: the fleet stays as it is, with a valid certificate
	remove             // the Gateway is of somebody else's class now
)

// wanted is all that the objects of a fleet depend on.
type wanted struct {
	mode    mode
	key     source.Key
	uid     types.UID
	gateway *model.Gateway // with nothing but what Objects reads; nil unless mode is serve
}

// state is what is wanted of one Gateway's fleet, and what is known about its objects.
type state struct {
	mu      sync.Mutex
	want    wanted
	known   map[string]record // by kind
	heard   map[string]news   // by kind
	told    string            // the failure that was last told of; empty while there is none
	removed bool
	signed  string    // fingerprint of the CA that signed the certificate
	renewAt time.Time // when the certificate is to be replaced
}

// record is what is known about one object.
type record struct {
	wanted string // hash of what was applied; empty for an object that is to be absent
	live   string // fingerprint of the object as it was then; empty as well
}

func (s *state) wanted() wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

func (s *state) record(kind string) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.known[kind]
	return r, ok
}

// news is the last that was heard of an object.
type news struct {
	count int    // how often something was heard
	live  string // fingerprint; empty for an object that is gone
}

// heardOf says how often something was heard of an object.
func (s *state) heardOf(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[kind].count
}

// learn makes a record the one that counts, unless the object has been heard of since as something else.
func (s *state) learn(kind string, r record, since int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.heard[kind]; n.count != since && n.live != r.live {
		return waitFor("the %s was changed while it was applied", kind)
	}
	if s.known == nil {
		s.known = map[string]record{}
	}
	s.known[kind] = r
	return nil
}

// hear takes notice of an object, by its fingerprint or as gone, and forgets it if it is not as it was applied; it
// tells whether it was forgotten.
func (s *state) hear(kind, live string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard == nil {
		s.heard = map[string]news{}
	}
	s.heard[kind] = news{s.heard[kind].count + 1, live}
	r, ok := s.known[kind]
	if !ok || r.live == live {
		return false
	}
	delete(s.known, kind)
	return true
}

// accept makes a call of Want the one that counts, and queues what it changes.
func (t *term) accept(req *request) {
	if req == nil {
		return
	}
	want := t.opts.wants(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, s := range t.states {
		if _, ok := want[key]; !ok {
			t.forget(s)
			delete(t.states, key) // the objects go with their owner
		}
	}
	serving := 0
	for key, w := range want {
		if w.mode == serve {
			serving++
		}
		s := t.states[key]
		if s == nil {
			s = &state{want: w}
			t.states[key] = s
			t.queue.Add(key)
			continue
		}
		s.mu.Lock()
		if !reflect.DeepEqual(s.want, w) {
			if s.want.uid != w.uid {
				s.known, s.signed = nil, ""
			}
			s.want, s.removed = w, false
			t.queue.Forget(key) // what failed before may not fail now
			t.queue.Add(key)
		}
		s.mu.Unlock()
	}
	t.metrics.fleets.Set(float64(serving))
}

// wants says what is to become of each Gateway's fleet. A class that does not exist says nothing about whose its
// Gateways are: they keep what they have.
func (o *Options) wants(req *request) map[source.Key]wanted {
	out := map[source.Key]wanted{}
	for gateway := range req.objects.Gateways.All() {
		w := wanted{mode: keep, uid: gateway.UID, key: source.KeyOf(gateway)}
		class, ok := req.objects.GatewayClasses.Get("", string(gateway.Spec.GatewayClassName))
		if ok && string(class.Spec.ControllerName) != o.Controller {
			w.mode = remove
		}
		out[source.KeyOf(gateway)] = w
	}
	for _, gw := range req.gateways {
		w, ok := out[gw.Key]
		if !ok || w.mode == remove {
			continue // gone, or taken over, since it was translated
		}
		w.mode, w.gateway = serve, slim(gw)
		out[gw.Key] = w
	}
	return out
}

// slim copies what Objects reads, so that routes neither count as changes nor are kept in memory.
func slim(gw *model.Gateway) *model.Gateway {
	out := &model.Gateway{Key: gw.Key, Fleet: gw.Fleet}
	for _, p := range gw.Ports {
		out.Ports = append(out.Ports, model.Port{Number: p.Number, Protocol: p.Protocol})
	}
	return out
}
