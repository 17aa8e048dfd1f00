package source

import "sync"

// Update is what a Store hands to its reader: the whole view, and what is wrong with the input now.
type Update struct {
	Objects  *Objects
	Problems []Problem // input that is not in Objects, or is there in an older version
	Warnings []Problem // input that was left aside without harm, such as kinds that mean nothing here
}

// Store keeps the newest Update and wakes one reader when it changes. Several Puts between two reads are
// seen as one: a reader always gets the newest view, never a queue of old ones.
type Store struct {
	mu     sync.Mutex
	latest Update
	ready  chan struct{}
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{ready: make(chan struct{}, 1)} }

// Put replaces the view. It does not block.
func (s *Store) Put(u Update) {
	s.mu.Lock()
	s.latest = u
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Changed delivers one value after one or more Puts. It is for one reader.
func (s *Store) Changed() <-chan struct{} { return s.ready }

// Latest gives the newest view; Objects is nil before the first Put.
func (s *Store) Latest() Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}
