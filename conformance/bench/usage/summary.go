// Package usage measures what pods consume: CPU seconds over a span of time, and memory at its end.
//
// The figures are the kubelet's own (its summary API, through the API server), so that nothing has to be installed and any pod can be
// measured. The kubelet refreshes them every ten seconds or so and says when; CPU is therefore the difference of two refreshes divided
// by the time between them, never by the time on our clock.
//
//	selectors -> pods -> kubelet summaries, twice -> Usage
package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
)

// Summaries reads the kubelet's summary of one node.
type Summaries interface {
	Summary(ctx context.Context, node string) (Summary, error)
}

// Summary is the part of the kubelet's answer that is used.
type Summary struct {
	Pods []PodStats `json:"pods"`
}

// PodStats of one pod.
type PodStats struct {
	PodRef struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"podRef"`
	Containers []ContainerStats `json:"containers"`
}

// ContainerStats of one container. The times are those of the samples.
type ContainerStats struct {
	Name      string    `json:"name"`
	StartTime time.Time `json:"startTime"`
	CPU       struct {
		Time                 time.Time `json:"time"`
		UsageCoreNanoSeconds uint64    `json:"usageCoreNanoSeconds"`
	} `json:"cpu"`
	Memory struct {
		RSSBytes        uint64 `json:"rssBytes"`
		WorkingSetBytes uint64 `json:"workingSetBytes"`
	} `json:"memory"`
}

// Kubelets asks the kubelets through the API server. The user needs the verb get on nodes/proxy.
type Kubelets struct{ Client rest.Interface }

// Summary implements Summaries.
func (k Kubelets) Summary(ctx context.Context, node string) (Summary, error) {
	var summary Summary
	raw, err := k.Client.Get().AbsPath("/api/v1/nodes", node, "proxy/stats/summary").DoRaw(ctx)
	if err != nil {
		return summary, fmt.Errorf("read the kubelet's summary of node %s (it needs get on nodes/proxy): %w", node, err)
	}
	if err := json.Unmarshal(raw, &summary); err != nil {
		return summary, fmt.Errorf("read the kubelet's summary of node %s: %w", node, err)
	}
	return summary, nil
}
