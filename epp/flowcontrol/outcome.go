package flowcontrol

import (
	"fmt"
	"net/http"
)

// Outcome is how the wait of a request ended.
type Outcome int

// Outcomes. Rejected ones never waited.
const (
	Dispatched Outcome = iota
	RejectedCapacity
	RejectedNoEndpoints
	RejectedOther
	EvictedTTL
	EvictedNoEndpoints
	EvictedContextCancelled
	EvictedOther
	outcomes int = iota
)

var outcomeNames = [outcomes]string{"Dispatched", "RejectedCapacity", "RejectedNoEndpoints", "RejectedOther", "EvictedTTL",
	"EvictedNoEndpoints", "EvictedContextCancelled", "EvictedOther"}

// String is the outcome as metrics name it.
func (o Outcome) String() string { return outcomeNames[o] }

// Refusal is the error of a request that is not to be scheduled, as the client is to be told.
type Refusal struct {
	Outcome Outcome
	// Status is the HTTP status, Code its name in the answer's body; empty: the body is the message alone.
	Status int
	Code   string
	// Message is the text after the code.
	Message string
	// Reason is the value of the header x-llm-d-request-dropped-reason; empty: no header.
	Reason string
}

func (r *Refusal) Error() string { return r.Message }

// Reasons.
const (
	reasonSaturated    = "rejected-saturated"
	reasonNoEndpoints  = "rejected-no-endpoints"
	reasonExpired      = "rejected-ttl-expired"
	reasonCancelled    = "rejected-context-cancelled"
	reasonShuttingDown = "rejected-shutting-down"
)

// Reasons of requests that were dispatched and then revoked: for one of a higher priority; for one in a queue that is full; and
// for no reason given.
const (
	ReasonEvicted              = "evicted"
	ReasonEvictedPriority      = "evicted-priority"
	ReasonEvictedQueuePressure = "evicted-queue-pressure"
)

// Evicted is the answer to a request that was revoked; reason is what Request.Revoke was called with. It counts in no metric of
// outcomes: the request's wait ended when it was dispatched.
func Evicted(reason string) *Refusal {
	if reason == "" {
		reason = ReasonEvicted
	}
	return &Refusal{Outcome: EvictedOther, Status: http.StatusTooManyRequests, Message: "request evicted by flow control", Reason: reason}
}

func tooMany(outcome Outcome, reason, format string, args ...any) *Refusal {
	return &Refusal{Outcome: outcome, Status: http.StatusTooManyRequests, Code: "ResourceExhausted",
		Message: fmt.Sprintf(format, args...), Reason: reason}
}

func unavailable(outcome Outcome, reason, format string, args ...any) *Refusal {
	return &Refusal{Outcome: outcome, Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable",
		Message: fmt.Sprintf(format, args...), Reason: reason}
}

// refuseFull is for a request that finds no room in the queue. what is the limit it met.
func refuseFull(poolEmpty bool, what string) *Refusal {
	if poolEmpty {
		return unavailable(RejectedNoEndpoints, reasonNoEndpoints, "no endpoints available: %s", what)
	}
	return tooMany(RejectedCapacity, reasonSaturated, "%s", what)
}

// refuseExpired is for a request that has waited as long as it may.
func refuseExpired(poolEmpty bool) *Refusal {
	if poolEmpty {
		return unavailable(EvictedNoEndpoints, reasonNoEndpoints,
			"request timed out in queue and no endpoints are available: the pool has been empty for as long as a request may wait")
	}
	return tooMany(EvictedTTL, reasonExpired, "request timed out in queue: the pool had no room for as long as a request may wait")
}

func refuseGone(cause error) *Refusal {
	return unavailable(EvictedContextCancelled, reasonCancelled, "client disconnected: %v", cause)
}

func refuseStopped(outcome Outcome) *Refusal {
	return unavailable(outcome, reasonShuttingDown, "flow controller shutting down: try again")
}

func refuseInternal(cause string) *Refusal {
	return &Refusal{Outcome: RejectedOther, Status: http.StatusInternalServerError, Code: "Internal",
		Message: "internal flow control error: " + cause}
}
