package resilience

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// uninstalled is how long after the last pod of a release has ended something of it may still be there: what Kubernetes makes for its
// Services goes a moment after them.
const uninstalled = 30 * time.Second

// kinds are those that the API server lists, in or outside of namespaces.
func (in *installation) kinds(namespaced bool) ([]schema.GroupVersionResource, error) {
	finder, err := discovery.NewDiscoveryClientForConfig(in.config)
	if err != nil {
		return nil, err
	}
	lists, err := finder.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("asking for the kinds that there are: %w", err)
	}
	var out []schema.GroupVersionResource
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			// Events tell of what was; they go by their age.
			if r.Namespaced == namespaced && slices.Contains(r.Verbs, "list") && r.Name != "events" && r.Name != "componentstatuses" {
				out = append(out, group.WithResource(r.Name))
			}
		}
	}
	return out, nil
}

// objectsOf lists everything in a namespace, or, for the empty one, everything that lies in none; each as group/resource/name.
func (in *installation) objectsOf(ctx context.Context, namespace string, keep func(*metav1.PartialObjectMetadata) bool) (map[string]bool, error) {
	kinds, err := in.kinds(namespace != "")
	if err != nil {
		return nil, err
	}
	quiet := rest.CopyConfig(in.config)
	quiet.WarningHandler = rest.NoWarnings{} // about kinds that are old
	reader, err := metadata.NewForConfig(quiet)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, kind := range kinds {
		list, err := reader.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind, err)
		}
		for i := range list.Items {
			if keep == nil || keep(&list.Items[i]) {
				out[kind.GroupResource().String()+"/"+list.Items[i].Name] = true
			}
		}
	}
	return out, nil
}

// waitObjects lists a namespace once that has what every namespace gets.
func (r *release) waitObjects() (out map[string]bool) {
	r.t.Helper()
	eventually(r.t, settled, "namespace "+r.namespace+" is complete", func(ctx context.Context) error {
		var err error
		out, err = r.objectsOf(ctx, r.namespace, nil)
		if err == nil && (!out["serviceaccounts/default"] || !out["configmaps/kube-root-ca.crt"]) {
			return fmt.Errorf("it has %v", slices.Sorted(maps.Keys(out)))
		}
		return err
	})
	return out
}

// ofRelease tells by its labels, and by its name, whether an object outside of namespaces is of this release.
func (r *release) ofRelease(o *metav1.PartialObjectMetadata) bool {
	if home, ok := o.Annotations["meta.helm.sh/release-namespace"]; ok {
		return home == r.namespace // another release may have the same name elsewhere
	}
	return o.Labels["app.kubernetes.io/instance"] == r.name || strings.Contains(o.Name, r.namespace) && o.Name != r.namespace
}

// uninstall removes the release, and wants nothing left of it: in its namespace what there was before, and outside nothing. That
// something is seen of it outside is checked first, by how many objects it has there.
func (r *release) uninstall(outside int) {
	r.t.Helper()
	wide, err := r.objectsOf(r.t.Context(), "", r.ofRelease)
	if err != nil {
		r.t.Fatal(err)
	}
	here, err := r.objectsOf(r.t.Context(), r.namespace, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(wide) != outside {
		r.t.Errorf("outside of its namespace it has %v, want %d", slices.Sorted(maps.Keys(wide)), outside)
	}
	began := time.Now()
	helm(r.t, r.t.Context(), "uninstall", r.name, "--namespace", r.namespace, "--wait", "--timeout", settled.String())
	r.waitPodsGone()
	r.t.Logf("uninstalled after %s; there were %d objects in the namespace, %d before, and %d outside", time.Since(began).Round(time.Millisecond),
		len(here), len(r.before), len(wide))
	r.expectNothingLeft()
}

// waitPodsGone waits for pods that helm has told to end.
func (r *release) waitPodsGone() {
	r.t.Helper()
	eventually(r.t, settled, "the pods of "+r.name+" are gone", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := r.List(ctx, &pods, client.InNamespace(r.namespace)); err != nil {
			return err
		}
		for i := range pods.Items {
			if !r.before["pods/"+pods.Items[i].Name] {
				return fmt.Errorf("%s is there", pods.Items[i].Name)
			}
		}
		return nil
	})
}

func (r *release) expectNothingLeft() {
	r.t.Helper()
	err := poll(r.t.Context(), uninstalled, func(ctx context.Context) error {
		here, err := r.objectsOf(ctx, r.namespace, nil)
		if err != nil {
			return err
		}
		wide, err := r.objectsOf(ctx, "", r.ofRelease)
		if err != nil {
			return err
		}
		maps.DeleteFunc(here, func(o string, _ bool) bool { return r.before[o] })
		if maps.Copy(here, wide); len(here) > 0 {
			return fmt.Errorf("%v", slices.Sorted(maps.Keys(here)))
		}
		return nil
	})
	if err != nil {
		r.t.Errorf("left behind by %s in %s: %v", r.name, r.namespace, err)
	}
}
