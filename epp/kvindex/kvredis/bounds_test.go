package kvredis_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/switchyard/switchyard/epp/kvindex/kvredis"
)

// TestPicksDoNotWait has the database stop answering: each pick goes on within the bound, after some they do not ask any more,
// and all is well again when it answers.
func TestPicksDoNotWait(t *testing.T) {
	if kvredis.Patience > 20*time.Millisecond {
		t.Errorf("picks wait for %s", kvredis.Patience)
	}
	began := time.Now()
	db := miniredis.RunT(t)
	w := newWire(t, db.Addr())
	r := newImpatientReplica(t, "redis://"+w.listener.Addr().String(), 200*time.Millisecond)
	r.a.Apply(one(stored(1, 0, 3)))
	r.await(t, 1, 3, 0)
	for _, trouble := range []func(){func() { w.held.Store(true) }, func() { w.held.Store(true); w.cut() }} {
		trouble()
		var slowest, total time.Duration
		for range 200 {
			began := time.Now()
			r.held(1, 8)
			took := time.Since(began)
			slowest, total = max(slowest, took), total+took
		}
		// The machine of a test may be busy. If all of them waited, it would take 40 s.
		if slowest > 10*time.Second || total > 20*time.Second {
			t.Errorf("the slowest pick took %s, all 200 %s", slowest, total)
		}
		if r.store.State().Answers {
			t.Error("picks go on asking")
		}
		if got := blocks(r.held(1, 8)); fmt.Sprint(got) != "[0 0]" {
			t.Errorf("blocks %v of a database that does not answer", got)
		}
		// What is told meanwhile is written later.
		r.a.Apply(one(stored(1, 3, 4)))
		w.held.Store(false)
		w.cut()
		r.await(t, 1, 4, 0)
		r.a.Apply(one(removed("", 103)))
		r.await(t, 1, 3, 0)
	}
	if n, most := strings.Count(r.notes.String(), "does not answer in time"), 1+int(time.Since(began)/time.Minute); n < 1 || n > most {
		t.Errorf("it was said %d times that it does not answer, want 1 to %d:\n%s", n, most, r.notes)
	}
}

func TestADatabaseThatComesLater(t *testing.T) {
	db := miniredis.NewMiniRedis()
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	address := db.Addr()
	db.Close()
	r := newReplica(t, address)
	r.a.Apply(one(stored(1, 0, 2)))
	began := time.Now()
	if got := blocks(r.held(1, 8)); fmt.Sprint(got) != "[0 0]" || time.Since(began) > 10*time.Second {
		t.Errorf("blocks %v after %s", got, time.Since(began))
	}
	eventually(t, func() (string, bool) {
		return "nothing was logged", strings.Contains(r.notes.String(), "cannot be written")
	})
	start := func() (string, bool) { // somebody else may have the port for a moment
		err := db.StartAddr(address)
		return fmt.Sprint(err), err == nil
	}
	eventually(t, start)
	defer db.Close()
	r.await(t, 1, 2, 0)
	// Its scripts are gone after a restart.
	db.Close()
	eventually(t, start)
	r.a.Apply(one(removed("", 101)))
	r.await(t, 1, 1, 0)
}

// TestAFullQueue overruns the queue while nothing can be written: nothing grows, and what the server held is gone afterwards.
func TestAFullQueue(t *testing.T) {
	began := time.Now()
	db := miniredis.RunT(t)
	w := newWire(t, db.Addr())
	r := newImpatientReplica(t, w.listener.Addr().String(), 200*time.Millisecond)
	kvredis.SetQueue(r.store, 4000)
	r.a.Apply(one(stored(1, 0, 3)))
	r.b.Apply(one(stored(1, 0, 3)))
	r.await(t, 1, 3, 3)
	w.held.Store(true)
	w.cut()
	for i := range uint32(1000) {
		r.a.Apply(one(stored(10+i, 0, 8)))
		r.a.Apply(one(removed("", 100)))
	}
	if n := r.store.State().Waiting; n > 200 {
		t.Errorf("%d messages wait", n)
	}
	if n, most := strings.Count(r.notes.String(), "too many changes"), 1+int(time.Since(began)/time.Minute); n < 1 || n > most {
		t.Errorf("it was said %d times, want 1 to %d:\n%s", n, most, r.notes)
	}
	w.held.Store(false)
	w.cut()
	r.await(t, 1, 0, 3)
	eventually(t, func() (string, bool) {
		r.a.Apply(one(stored(1, 0, 2))) // that it is lost may not be over yet
		got := blocks(r.held(1, 8))
		return fmt.Sprint(got), fmt.Sprint(got) == "[2 3]"
	})
}

func TestRunsAgainWhereItWas(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	r.a.Apply(one(stored(1, 0, 2)))
	r.await(t, 1, 2, 0)
	r.a.Apply(one(stored(1, 2, 5)))
	r.stop() // what waits is written first
	if got := blocks(r.held(1, 8)); fmt.Sprint(got) != "[0 0]" {
		t.Errorf("blocks %v while it does not run", got)
	}
	r.a.Apply(one(stored(1, 5, 6)))
	r.run()
	r.await(t, 1, 6, 0)
}

func TestAPassword(t *testing.T) {
	db := miniredis.RunT(t)
	db.RequireUserAuth("picker", "s3cret/%")
	right := newReplica(t, "redis://picker:s3cret%2F%25@"+db.Addr()+"/2")
	right.a.Apply(one(stored(1, 0, 2)))
	right.await(t, 1, 2, 0)
	if n := len(db.DB(2).Keys()); n == 0 {
		t.Error("the database of the address is not used")
	}
	wrong := newReplica(t, "redis://picker:hush-hush@"+db.Addr())
	wrong.a.Apply(one(stored(2, 0, 2)))
	eventually(t, func() (string, bool) {
		text := wrong.notes.String()
		return "log: " + text, strings.Contains(text, "WRONGPASS") && strings.Contains(text, "cannot be written")
	})
	for _, r := range []*replica{right, wrong} {
		if text := r.notes.String(); strings.Contains(text, "hush") || strings.Contains(text, "s3cret") {
			t.Errorf("a password was logged:\n%s", text)
		}
	}
}

func TestTLS(t *testing.T) {
	db := miniredis.NewMiniRedis()
	if err := db.StartTLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	trusting := newReplica(t, "valkeys://"+db.Addr()+"?skip_verify=true")
	trusting.a.Apply(one(stored(1, 0, 2)))
	trusting.await(t, 1, 2, 0)
	strict := newReplica(t, "rediss://"+db.Addr()) // which nobody has told to trust it
	strict.b.Apply(one(stored(1, 0, 2)))
	eventually(t, func() (string, bool) {
		text := strict.notes.String()
		return "log: " + text, strings.Contains(text, "does not answer") && strings.Contains(text, "cannot be written")
	})
	trusting.await(t, 1, 2, 0)
	if strict.store.State().Answers {
		t.Error("a certificate that nobody has signed was trusted")
	}
}

// TestGarbage has something else answer.
func TestGarbage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	r := newReplica(t, listener.Addr().String())
	r.a.Apply(one(stored(1, 0, 2)))
	eventually(t, func() (string, bool) {
		return "nothing was logged", strings.Contains(r.notes.String(), "does not answer")
	})
	r.stop()
	_ = listener.Close()
	all.Wait()
}

func TestParseAddress(t *testing.T) {
	for _, address := range []string{"", "redis:6379", "localhost", "redis://h", "rediss://u:p@h:1/3", "valkey://h:1", "VALKEYS://h", "unix:///run/redis.sock?db=1",
		"redis://:p%40ss@h:1", "rediss://h?skip_verify=true", "redis://[::1]:6379"} {
		if err := kvredis.ParseAddress(address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"http://h", "redis://", "redis://u:hush@h:port", "redis://u:hu%zzsh@h", "redis://u:hush@h/db", "redis://u:hu/sh@h",
		"redis://u:hush@h?read_timeout=1h", "redis://u:hu sh@h\x7f", "u:hush@h:1:2"} {
		err := kvredis.ParseAddress(address)
		if err == nil {
			t.Errorf("%q was accepted", address)
		} else if text := err.Error(); strings.Contains(text, "hu") || strings.Contains(text, "sh@") {
			t.Errorf("%q: the error shows what it must not: %v", address, err)
		}
	}
}
