package kvredis

import (
	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

// server is one model server. It is a kvindex.SharedServer.
type server struct {
	store   *Store
	id      uint32 // of all that there ever were
	ordinal int
	names   []string // the first is the one that is written

	lost, gone bool // of the queue

	// What follows belongs to Run.
	groups kvindex.Groups
	fields map[place]string
}

// place is where a server has a block.
type place struct {
	tier  string
	group int
}

// Apply implements kvevents.Sink.
func (s *server) Apply(events []kvevents.Event) {
	if len(events) > 0 && s.store.queue.put(s, events) && s.store.full.now() {
		s.store.logger.Warn("too many changes wait to be written to the shared prefix index; the blocks of servers are taken out of it and "+
			"begin anew", "server", s.names[0])
	}
}

// Clear implements kvevents.Sink.
func (s *server) Clear() { s.store.queue.put(s, nil) }

// Remove implements kvindex.SharedServer.
func (s *server) Remove() {
	s.store.forget(s)
	s.store.queue.last(s)
}

// maxPlaces bounds the fields that are remembered.
const maxPlaces = 256

// field is what a block of the server has in a place.
func (s *server) field(e *kvevents.Event) string {
	at := place{tierOf(e.Medium, s.store.medium), max(e.Group, -1)}
	if field, ok := s.fields[at]; ok {
		return field
	}
	field := entry{PodIdentifier: s.names[0], DeviceTier: at.tier, HasGroup: at.group >= 0, GroupIdx: max(at.group, 0)}.field()
	if s.fields == nil {
		s.fields = map[place]string{}
	}
	if len(s.fields) < maxPlaces {
		s.fields[at] = field
	}
	return field
}
