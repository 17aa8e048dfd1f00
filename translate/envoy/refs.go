package envoy

import (
	"maps"
	"slices"
	"strings"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

// refs gathers the clusters that a route table points at and the objects that it was made from.
type refs struct {
	clusters map[string]bool
	objects  map[source.Ref]bool
}

func newRefs() *refs {
	return &refs{clusters: map[string]bool{}, objects: map[source.Ref]bool{}}
}

func (r *refs) resources() []resource.ID {
	var out []resource.ID
	for _, name := range slices.Sorted(maps.Keys(r.clusters)) {
		out = append(out, resource.ID{Type: resource.ClusterType, Name: name})
	}
	return out
}

func (r *refs) sources() []source.Ref {
	return slices.SortedFunc(maps.Keys(r.objects), source.Ref.Compare)
}

// clusterRefs are what a cluster cannot work without.
func clusterRefs(name string) []resource.ID {
	return []resource.ID{{Type: resource.EndpointType, Name: name}}
}

// escapeFormat keeps Envoy from reading a user's percent sign as a command operator.
func escapeFormat(s string) string { return strings.ReplaceAll(s, "%", "%%") }
