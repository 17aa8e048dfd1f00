// Package results is what a run of the benchmark found, as JSON for programs and as a table for people.
//
// It only holds and prints figures; nothing is judged here, and no figure is left out because it looks bad.
//
//	cases -> Results -> JSON, table
package results

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/switchyard/switchyard/conformance/bench/stats"
	"github.com/switchyard/switchyard/conformance/bench/usage"
	"github.com/switchyard/switchyard/conformance/bench/writes"
)

// Results of one run. A case that was not asked for, or that failed, is nil; the failures are in Errors.
type Results struct {
	Started      time.Time         `json:"started"`
	Finished     time.Time         `json:"finished"`
	GatewayClass string            `json:"gatewayClass"`
	Controller   string            `json:"controllerName"`
	Proxies      int               `json:"proxies"`
	Settings     map[string]string `json:"settings"`
	Machine      Machine           `json:"machine"`
	Versions     Versions          `json:"versions"`
	Attached     *Attached         `json:"attached,omitempty"`
	Rest         *Rest             `json:"rest,omitempty"`
	Propagation  *Propagation      `json:"propagation,omitempty"`
	Flips        *Flips            `json:"flips,omitempty"`
	Errors       []string          `json:"errors,omitempty"`
}

// Machine that the benchmark itself ran on, and the cluster's nodes.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"cpuModel,omitempty"`
	Kernel string `json:"kernel,omitempty"`
	// Load is the load average when the run began: other work on the machine makes all figures worse.
	Load  string `json:"loadAverage,omitempty"`
	Nodes []Node `json:"nodes"`
}

// Node of the cluster.
type Node struct {
	Name    string `json:"name"`
	CPU     string `json:"cpu"`
	Memory  string `json:"memory"`
	Kernel  string `json:"kernel"`
	Kubelet string `json:"kubelet"`
	Runtime string `json:"runtime"`
}

// Versions of what took part.
type Versions struct {
	Go         string `json:"go"`
	Bench      string `json:"bench"`
	Kubernetes string `json:"kubernetes"`
	// GatewayAPI is the bundle version and channel of the installed CRDs.
	GatewayAPI string   `json:"gatewayAPI"`
	Images     []string `json:"images,omitempty"`
}

// Attached: many routes come to one Gateway, and go.
type Attached struct {
	Routes int   `json:"routes"`
	Setup  Phase `json:"setup"`
	// Teardown is nil when the run ended before it.
	Teardown *Phase `json:"teardown,omitempty"`
}

// Phase of coming or of going. Times are milliseconds.
type Phase struct {
	// RequestsMs is the time from the first create or delete until the last one returned.
	RequestsMs float64 `json:"requestsMs"`
	// AttachedMs is the time from then until attachedRoutes had its final value; 0 when it had it before.
	AttachedMs float64 `json:"attachedMs"`
	// AcceptedMs is the time from then until all routes were Accepted; only when they come.
	AcceptedMs float64            `json:"acceptedMs,omitempty"`
	Gateway    writes.Counts      `json:"gateway"`
	Routes     writes.RouteCounts `json:"routes"`
}

// Propagation: new routes, one after the other, each asked for until it answers.
type Propagation struct {
	Routes     int `json:"routes"`
	InPlace    int `json:"routesInPlace"`
	Unanswered int `json:"unanswered"`
	Requests   int `json:"requests"`
	NotYet     int `json:"notYet"`
	// NotYetAfterFirst are 404s after the first right answer: from another proxy, or a relapse.
	NotYetAfterFirst int `json:"notYetAfterFirst"`
	// Wrong answers by code, or by what was wrong with them.
	Wrong map[string]int `json:"wrong"`
	// First is the time from the acknowledged create to the first right answer.
	First stats.Distribution `json:"applyToFirst"`
	// Settled is the time to the first of Consecutive right answers in a row, each over a new connection.
	Settled     *stats.Distribution `json:"applyToSettled,omitempty"`
	Consecutive int                 `json:"consecutive"`
	// Apply is what the API server took for the create, and Answer what a right answer took: the floors.
	Apply  stats.Distribution `json:"apply"`
	Answer stats.Distribution `json:"answer"`
}

// Flips: one route alternates under load.
type Flips struct {
	Flips       int     `json:"flips"`
	Connections int     `json:"connections"`
	BoundMs     float64 `json:"boundMs"`
	Churn       bool    `json:"endpointChurn"`
	Seconds     float64 `json:"seconds"`
	Requests    int     `json:"requests"`
	// Wrong answers (not 200) by code, or by what kept them from coming.
	Wrong map[string]int `json:"wrong"`
	// Mixed answers are 200 and neither of the two states.
	Mixed map[string]int `json:"mixed"`
	// Stale answers are of the old state though asked for after the bound; StaleByMs is the latest one.
	Stale     int     `json:"stale"`
	StaleByMs float64 `json:"staleByMs"`
	Early     int     `json:"early"`
	// Never counts changes that no answer showed before the next one.
	Never int `json:"never"`
	// FirstNew and LastOld are times from the acknowledged change; negative when the answer was there before the acknowledgement.
	FirstNew stats.Distribution `json:"applyToFirstNew"`
	LastOld  stats.Distribution `json:"applyToLastOld"`
}

// Rest: nothing happens.
type Rest struct {
	InPlace int `json:"routesInPlace"`
	// ControlPlane and DataPlane are nil when no pods were named or found.
	ControlPlane *usage.Total `json:"controlPlane,omitempty"`
	DataPlane    *usage.Total `json:"dataPlane,omitempty"`
}

// Write makes the JSON file.
func (r *Results) Write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}
