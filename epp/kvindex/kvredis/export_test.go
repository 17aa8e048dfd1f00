package kvredis

import "time"

// SetPatience is for stores that do not run yet: where time is not the matter, a busy machine must not be, either.
func SetPatience(s *Store, patience time.Duration) { s.patience = patience }

// SetQueue bounds the queue of a store, in words.
func SetQueue(s *Store, words int) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.most = words
}
