// Package secure asks who reads a page of the picker, and whether they may. It must not decide that itself: a Reviewer does,
// and its answers are remembered for a short time so that each scrape does not cost a question.
//
//	request with a bearer token -> Guard -> Reviewer (an API server) -> page, or 401, 403
package secure

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Decision is a reviewer's answer.
type Decision int

// Decisions. Unknown is no token that the reviewer knows.
const (
	Unknown Decision = iota
	Denied
	Allowed
)

// Question is what a reviewer is asked.
type Question struct {
	Token string
	// Verb is the method in lower case.
	Verb, Path string
}

// Reviewer answers questions; an error is that it could not find out.
type Reviewer interface {
	Review(ctx context.Context, question Question) (Decision, error)
}

// How long an answer is remembered: one that lets in for as long as a revoked token may still be used, another for shorter,
// since it is what somebody is about to correct. At most maxAnswers are remembered.
const (
	rememberAllowed = time.Minute
	rememberRefused = 10 * time.Second
	maxAnswers      = 1024
)

// reviewTimeout bounds one question.
const reviewTimeout = 10 * time.Second

// maxToken bounds a token, in bytes; those of Kubernetes have about one kilobyte.
const maxToken = 16 << 10

// Guard lets requests pass that a Reviewer allows. Safe for concurrent use.
type Guard struct {
	reviewer Reviewer
	log      *slog.Logger
	now      func() time.Time

	mu      sync.Mutex
	answers map[[sha256.Size]byte]answer
}

type answer struct {
	decision Decision
	until    time.Time
}

// NewGuard makes a guard.
func NewGuard(reviewer Reviewer, log *slog.Logger) *Guard {
	return &Guard{reviewer: reviewer, log: log, now: time.Now, answers: map[[sha256.Size]byte]answer{}}
}

// Wrap guards a handler.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r)
		if !ok {
			unauthorized(w)
			return
		}
		decision, err := g.decide(r.Context(), Question{Token: token, Verb: strings.ToLower(r.Method), Path: r.URL.Path})
		switch {
		case err != nil:
			g.log.Error("the reader of a page could not be checked", "path", r.URL.Path, "error", err)
			http.Error(w, "the token could not be checked; try again", http.StatusInternalServerError)
		case decision == Unknown:
			unauthorized(w)
		case decision == Denied:
			http.Error(w, "this token does not allow to "+strings.ToLower(r.Method)+" this path", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "give a bearer token that the cluster knows", http.StatusUnauthorized)
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}

// decide gives the remembered answer or asks. Two who ask at once both do.
func (g *Guard) decide(ctx context.Context, question Question) (Decision, error) {
	// Tokens are secrets: only their hashes stay in memory.
	key := sha256.Sum256([]byte(question.Token + "\n" + question.Verb + "\n" + question.Path))
	if known, ok := g.remembered(key); ok {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	decision, err := g.reviewer.Review(ctx, question)
	if err == nil {
		g.remember(key, decision)
	}
	return decision, err
}

func (g *Guard) remembered(key [sha256.Size]byte) (Decision, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, ok := g.answers[key]
	return known.decision, ok && g.now().Before(known.until)
}

func (g *Guard) remember(key [sha256.Size]byte, decision Decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if len(g.answers) >= maxAnswers {
		g.makeRoom(now)
	}
	lasts := rememberRefused
	if decision == Allowed {
		lasts = rememberAllowed
	}
	g.answers[key] = answer{decision, now.Add(lasts)}
}

// makeRoom forgets what has expired, or else refusals, or else all: it is only asked again.
func (g *Guard) makeRoom(now time.Time) {
	for key, known := range g.answers {
		if !now.Before(known.until) {
			delete(g.answers, key)
		}
	}
	if len(g.answers) < maxAnswers {
		return
	}
	for key, known := range g.answers {
		if known.decision != Allowed {
			delete(g.answers, key)
		}
	}
	if len(g.answers) >= maxAnswers {
		clear(g.answers)
	}
}
