package usage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Selector chooses pods: of one namespace, or of all of them when Namespace is empty.
type Selector struct {
	Namespace string
	Labels    labels.Selector
}

// ParseSelectors reads a list such as "ns-a/app=x,*/tier=proxy,ns-b/". What stands before the first slash is the namespace, "*" for all
// of them; the rest is one label, or nothing for all pods of the namespace.
func ParseSelectors(list string) ([]Selector, error) {
	var selectors []Selector
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		namespace, label, found := strings.Cut(item, "/")
		if !found || namespace == "" || strings.Contains(namespace, "=") {
			return nil, fmt.Errorf("selector %q has no namespace: write namespace/label=value, or */label=value", item)
		}
		if namespace == "*" && label == "" {
			return nil, fmt.Errorf("selector %q is every pod of the cluster: add a label", item)
		}
		parsed, err := labels.Parse(label)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", item, err)
		}
		if namespace == "*" {
			namespace = ""
		}
		selectors = append(selectors, Selector{Namespace: namespace, Labels: parsed})
	}
	return selectors, nil
}

// Pods lists the running pods that any of the selectors chooses, each once, by namespace and name.
func Pods(ctx context.Context, c client.Reader, selectors []Selector) ([]corev1.Pod, error) {
	chosen := map[client.ObjectKey]corev1.Pod{}
	for _, s := range selectors {
		var list corev1.PodList
		if err := c.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabelsSelector{Selector: s.Labels}); err != nil {
			return nil, fmt.Errorf("list pods %s/%s: %w", s.Namespace, s.Labels, err)
		}
		for _, pod := range list.Items {
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp.IsZero() {
				chosen[client.ObjectKeyFromObject(&pod)] = pod
			}
		}
	}
	pods := make([]corev1.Pod, 0, len(chosen))
	for _, pod := range chosen {
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return pods, nil
}

// Containers that run as long as the pod does: the ordinary ones, and sidecars, which stand among the init containers.
func Containers(pod *corev1.Pod) []corev1.Container {
	running := slices.Clone(pod.Spec.Containers)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			running = append(running, c)
		}
	}
	return running
}
