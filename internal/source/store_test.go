package source

import (
	"sync"
	"testing"
	"time"
)

func TestStoreStartsEmpty(t *testing.T) {
	s := NewStore()
	if s.Latest().Objects != nil {
		t.Error("a new store has a view")
	}
	select {
	case <-s.Changed():
		t.Error("a new store says that it changed")
	default:
	}
}

func TestStoreJoinsSeveralPutsIntoOneWake(t *testing.T) {
	s := NewStore()
	last := &Objects{}
	for range 5 {
		s.Put(Update{Objects: &Objects{}})
	}
	s.Put(Update{Objects: last, Problems: []Problem{{Message: "p"}}, Warnings: []Problem{{Message: "w"}}})
	select {
	case <-s.Changed():
	default:
		t.Fatal("no wake after a Put")
	}
	u := s.Latest()
	if u.Objects != last || len(u.Problems) != 1 || len(u.Warnings) != 1 {
		t.Errorf("Latest gave %+v, want the last Put", u)
	}
	select {
	case <-s.Changed():
		t.Error("a second wake for Puts that were read already")
	default:
	}
}

// A reader that reads after each wake always ends up with the newest view, whatever the timing.
func TestStoreReaderEndsWithTheNewest(t *testing.T) {
	s := NewStore()
	last := &Objects{}
	var writers sync.WaitGroup
	writers.Go(func() {
		for range 1000 {
			s.Put(Update{Objects: &Objects{}})
		}
		s.Put(Update{Objects: last})
	})
	defer writers.Wait()
	deadline := time.After(10 * time.Second)
	for s.Latest().Objects != last {
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatal("the reader was not woken for the last view")
		}
	}
}
