package director

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Refusal is an answer given in place of a model server's. It is the error of a request that is not to be served.
type Refusal struct {
	// Code is the name of the error in the answer's body and in metrics, Status the HTTP status.
	Code   string
	Status int
	// Message is what the client reads.
	Message string
	// Reason is the value of the header x-llm-d-request-dropped-reason; empty: no header.
	Reason string
	// Bare is set when the answer's body is the message and nothing else.
	Bare bool
}

// Error is the body of the answer.
func (r *Refusal) Error() string {
	if r.Bare {
		return r.Message
	}
	return "inference error: " + r.Code + " - " + r.Message
}

// Reasons of refusals that are decided here; flowcontrol has its own.
const (
	reasonNoEndpoints = "rejected-no-endpoints"
	reasonSaturated   = "rejected-saturated"
)

func badRequest(message string) *Refusal {
	return &Refusal{Code: "BadRequest", Status: http.StatusBadRequest, Message: message}
}

func noEndpoints(message string) *Refusal {
	return &Refusal{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: message, Reason: reasonNoEndpoints}
}

func saturated(message string) *Refusal {
	return &Refusal{Code: "ResourceExhausted", Status: http.StatusTooManyRequests, Message: message, Reason: reasonSaturated}
}

// BodyTooLarge is the answer to a request with a body of more than limit bytes.
func BodyTooLarge(limit int) *Refusal {
	return &Refusal{Code: "PayloadTooLarge", Status: http.StatusRequestEntityTooLarge,
		Message: "request body is larger than " + strconv.Itoa(limit) + " bytes"}
}

// notCached is the answer to a request that wanted a cached prompt or nothing.
func notCached() *Refusal {
	return &Refusal{Code: "PreconditionFailed", Status: http.StatusPreconditionFailed, Message: "no decode worker has the requested KV cache"}
}

// notAdmitted is what flow control's refusal is to the client. One without a code has a bare text.
func notAdmitted(err error) *Refusal {
	var no *flowcontrol.Refusal
	if !errors.As(err, &no) {
		return &Refusal{Code: "Internal", Status: http.StatusInternalServerError, Message: "internal flow control error: " + err.Error()}
	}
	refused := &Refusal{Code: no.Code, Status: no.Status, Message: no.Message, Reason: no.Reason, Bare: no.Code == ""}
	if refused.Bare {
		refused.Code = "ResourceExhausted"
	}
	return refused
}

// unscheduled is what a client is told when no endpoint was chosen.
func unscheduled(err error) *Refusal {
	switch {
	case errors.Is(err, scheduling.ErrBadRequest):
		return badRequest(err.Error())
	case errors.Is(err, scheduling.ErrFiltered), errors.Is(err, scheduling.ErrNotAdmitted):
		return saturated(err.Error())
	default:
		return saturated("failed to find target endpoint: " + err.Error())
	}
}
