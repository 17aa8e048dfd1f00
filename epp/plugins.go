package epp

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// stateDumper is a plugin that can show what it knows.
type stateDumper interface {
	// DumpState gives JSON of bounded size.
	DumpState() (json.RawMessage, error)
}

// Types of the plugins whose work the picker does itself; it shows their state whether a file declares them or not.
const (
	prefixProducer = "approx-prefix-cache-producer"
	loadProducer   = "inflight-load-producer"
)

// maxShownEndpoints bounds what /debug/plugins/state lists.
const maxShownEndpoints = 100

type pluginStates struct {
	Timestamp string                 `json:"timestamp"`
	Plugins   map[string]pluginState `json:"plugins"`
}

type pluginState struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	State   any    `json:"state,omitempty"`
	Message string `json:"message,omitempty"`
}

func (e *EPP) servePlugins(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(e.pluginStates(time.Now()))
}

func (e *EPP) pluginStates(now time.Time) pluginStates {
	shown := pluginStates{Timestamp: now.UTC().Format(time.RFC3339Nano), Plugins: map[string]pluginState{}}
	types := map[string]bool{}
	for _, declared := range e.Config().Plugins {
		types[declared.Type] = true
		shown.Plugins[declared.Name] = e.pluginState(declared.Name, declared.Type, declared.Plugin)
	}
	for _, implied := range []string{prefixProducer, loadProducer} {
		if !types[implied] {
			shown.Plugins[implied] = e.pluginState(implied, implied, nil)
		}
	}
	return shown
}

func (e *EPP) pluginState(name, typ string, plugin any) pluginState {
	shown := pluginState{Name: name, Type: typ}
	switch dumper, ok := plugin.(stateDumper); {
	case ok:
		state, err := dumper.DumpState()
		if err != nil {
			shown.Message = err.Error()
		} else {
			shown.State = state
		}
	case typ == prefixProducer:
		shown.State = e.prefixState()
	case typ == loadProducer:
		shown.State = e.loadState()
	default:
		shown.Message = "plugin does not support state collection"
	}
	return shown
}

type prefixState struct {
	Pool    string `json:"pool"`
	Servers int    `json:"servers"`
	Blocks  int    `json:"blocks"`
	Entries int    `json:"entries"`
}

func (e *EPP) prefixState() []prefixState {
	shown := []prefixState{}
	for _, pool := range e.options.Pools.List() {
		stats := pool.Index().Stats()
		shown = append(shown, prefixState{Pool: pool.Key(), Servers: stats.Servers, Blocks: stats.Blocks, Entries: stats.Pairs})
	}
	return shown
}

type loadState struct {
	Endpoints      []endpointLoad `json:"endpoints"`
	TotalEndpoints int            `json:"totalEndpoints"`
	MaxEndpoints   int            `json:"maxEndpoints"`
	Truncated      bool           `json:"truncated"`
}

type endpointLoad struct {
	Endpoint string `json:"endpoint"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"tokens"`
}

// loadState lists the endpoints with the most requests in flight first.
func (e *EPP) loadState() loadState {
	shown := loadState{Endpoints: []endpointLoad{}, MaxEndpoints: maxShownEndpoints}
	seen := map[string]bool{}
	for _, pool := range e.options.Pools.List() {
		for _, endpoint := range pool.Endpoints() {
			name := endpoint.Namespace + "/" + endpoint.Name
			if seen[name] {
				continue
			}
			seen[name] = true
			shown.Endpoints = append(shown.Endpoints, endpointLoad{Endpoint: name, Requests: endpoint.Requests(), Tokens: endpoint.Tokens()})
		}
	}
	slices.SortStableFunc(shown.Endpoints, func(a, b endpointLoad) int { return cmp.Compare(b.Requests, a.Requests) })
	shown.TotalEndpoints = len(shown.Endpoints)
	if shown.Truncated = len(shown.Endpoints) > maxShownEndpoints; shown.Truncated {
		shown.Endpoints = shown.Endpoints[:maxShownEndpoints]
	}
	return shown
}
