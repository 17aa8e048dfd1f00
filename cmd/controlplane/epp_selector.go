package main

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
)

// selectedPods keeps a pool of the pods that a selector names, in place of an InferencePool.
type selectedPods struct {
	key       string
	namespace string
	selector  labels.Selector
	ports     []int
	store     *source.Store
	pools     *datalayer.Pools
}

func (s *selectedPods) run(ctx context.Context) {
	for {
		if objects := s.store.Latest().Objects; objects != nil {
			s.pools.Set(s.key, s.specs(objects))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.store.Changed():
		}
	}
}

// specs are one endpoint for each ready pod and port.
func (s *selectedPods) specs(objects *source.Objects) []datalayer.Spec {
	var out []datalayer.Spec
	for pod := range objects.Pods.InNamespace(s.namespace) {
		ip, err := netip.ParseAddr(pod.Status.PodIP)
		if err != nil || !ready(pod) || !s.selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		for rank, port := range s.ports {
			if serves(pod, port) {
				out = append(out, datalayer.Spec{
					Name: pod.Name + "-rank-" + strconv.Itoa(rank), Namespace: pod.Namespace, Pod: pod.Name, Rank: rank,
					Address: netip.AddrPortFrom(ip, uint16(port)).String(), Labels: pod.Labels,
				})
			}
		}
	}
	return out
}

func ready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// serves tells whether a pod serves a port: its annotation may leave out some.
func serves(pod *corev1.Pod, port int) bool {
	text, given := pod.Annotations[source.ActivePortsAnnotation]
	if !given {
		if text, given = pod.Annotations[source.LegacyActivePortsAnnotation]; !given {
			return true
		}
	}
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == strconv.Itoa(port) {
			return true
		}
	}
	return false
}
