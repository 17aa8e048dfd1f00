package usage

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Usage of one container, or of several together.
type Usage struct {
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	// CPUSeconds were used in Seconds.
	CPUSeconds float64 `json:"cpuSeconds"`
	Seconds    float64 `json:"seconds"`
	Cores      float64 `json:"cores"`
	// RSSBytes and WorkingSetBytes are those at the end.
	RSSBytes        uint64 `json:"rssBytes"`
	WorkingSetBytes uint64 `json:"workingSetBytes"`
}

// Total of a group of pods. CPU seconds are those of the group in the shortest span that all containers share, by their rates.
type Total struct {
	Usage
	Pods       int     `json:"pods"`
	Containers []Usage `json:"containers"`
}

// Meter measures a group of pods.
type Meter struct {
	Source Summaries
	// Every is the time between two looks at the kubelet while a newer sample is waited for; Patience bounds the wait.
	Every, Patience time.Duration
	// Now is the clock; the kubelets' clocks are assumed to agree with it.
	Now func() time.Time
}

// Reading is one sample of each container.
type Reading struct {
	pods       []corev1.Pod
	containers map[containerKey]ContainerStats
}

type containerKey struct {
	pod       client.ObjectKey
	container string
}

// Read waits until the kubelets have sampled all containers of the pods after now, so that the reading tells nothing of earlier work.
func (m Meter) Read(ctx context.Context, pods []corev1.Pod) (Reading, error) {
	after := m.Now()
	ctx, cancel := context.WithTimeout(ctx, m.Patience)
	defer cancel()
	for {
		reading, err := m.sample(ctx, pods)
		if err != nil {
			return Reading{}, err
		}
		missing := reading.older(after)
		if missing == "" {
			return reading, nil
		}
		select {
		case <-time.After(m.Every):
		case <-ctx.Done():
			return Reading{}, fmt.Errorf("wait for a new sample of %s: %w", missing, ctx.Err())
		}
	}
}

func (m Meter) sample(ctx context.Context, pods []corev1.Pod) (Reading, error) {
	wanted := map[client.ObjectKey]bool{}
	nodes := map[string]bool{}
	for i := range pods {
		wanted[client.ObjectKeyFromObject(&pods[i])] = true
		nodes[pods[i].Spec.NodeName] = true
	}
	reading := Reading{pods: pods, containers: map[containerKey]ContainerStats{}}
	for node := range nodes {
		summary, err := m.Source.Summary(ctx, node)
		if err != nil {
			return Reading{}, err
		}
		for _, pod := range summary.Pods {
			key := client.ObjectKey{Namespace: pod.PodRef.Namespace, Name: pod.PodRef.Name}
			if !wanted[key] {
				continue
			}
			for _, c := range pod.Containers {
				reading.containers[containerKey{key, c.Name}] = c
			}
		}
	}
	return reading, nil
}

// older names a container without a sample after the instant, or nothing.
func (r Reading) older(after time.Time) string {
	for i := range r.pods {
		pod := client.ObjectKeyFromObject(&r.pods[i])
		for _, c := range Containers(&r.pods[i]) {
			sample, known := r.containers[containerKey{pod, c.Name}]
			// The kubelet's times have no fractions of a second.
			if !known || sample.CPU.Time.Before(after.Truncate(time.Second)) {
				return fmt.Sprintf("container %s of pod %s", c.Name, pod)
			}
		}
	}
	return ""
}

// Between is what the pods used from one reading to the other. Containers that started in between are an error: then the time was not
// one of rest.
func Between(first, last Reading) (Total, error) {
	total := Total{Pods: len(last.pods)}
	for i := range last.pods {
		pod := client.ObjectKeyFromObject(&last.pods[i])
		for _, c := range Containers(&last.pods[i]) {
			used, err := between(first, last, containerKey{pod, c.Name})
			if err != nil {
				return Total{}, err
			}
			total.add(used)
		}
	}
	total.CPUSeconds = total.Cores * total.Seconds
	return total, nil
}

func between(first, last Reading, key containerKey) (Usage, error) {
	before, known := first.containers[key]
	after := last.containers[key]
	span := after.CPU.Time.Sub(before.CPU.Time).Seconds()
	if !known || !before.StartTime.Equal(after.StartTime) || span <= 0 || after.CPU.UsageCoreNanoSeconds < before.CPU.UsageCoreNanoSeconds {
		return Usage{}, fmt.Errorf("container %s of pod %s was restarted, or came, while it was measured", key.container, key.pod)
	}
	seconds := float64(after.CPU.UsageCoreNanoSeconds-before.CPU.UsageCoreNanoSeconds) / 1e9
	return Usage{
		Pod: key.pod.String(), Container: key.container,
		CPUSeconds: seconds, Seconds: span, Cores: seconds / span,
		RSSBytes: after.Memory.RSSBytes, WorkingSetBytes: after.Memory.WorkingSetBytes,
	}, nil
}

func (t *Total) add(u Usage) {
	t.Containers = append(t.Containers, u)
	t.Cores += u.Cores
	t.RSSBytes += u.RSSBytes
	t.WorkingSetBytes += u.WorkingSetBytes
	if t.Seconds == 0 || u.Seconds < t.Seconds {
		t.Seconds = u.Seconds
	}
}
