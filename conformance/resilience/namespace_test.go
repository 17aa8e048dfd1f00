package resilience

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// maxErrorLines is what the control plane may write at level ERROR about a namespace that goes: its objects vanish in any order, and a
// write may meet one that is gone.
const maxErrorLines = 5

// TestNamespaceDeleted deletes a namespace with a Gateway, routes, pools and model servers in it, while it serves.
func TestNamespaceDeleted(t *testing.T) {
	t.Parallel()
	in := connect(t)
	neighbour := newWorld(t, in, setup{sims: 2, simArgs: slowStreams, pools: openPool})
	going := newWorld(t, in, setup{
		sims: 2, simArgs: slowStreams, secret: newCertificate(t, 1, hostOf("open")).secret("server"),
		pools: map[string]*infv1.EndpointPickerRef{"open": nil, "closed": embeddedPicker(infv1.EndpointPickerFailClose)},
	})
	neighbour.waitAnswers("open", http.StatusOK)
	going.waitAnswers("open", http.StatusOK)
	run := startLoad(t, neighbour.options("open", load.Mixed(100)...))
	other := startLoad(t, going.options("open", quick...))

	began := time.Now()
	if err := in.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: going.namespace}}); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 2*namespaceGone, "the namespace is gone", func(ctx context.Context) error {
		return in.isGone(ctx, going.namespace)
	})
	t.Logf("the namespace is gone after %s; its clients saw %s", took.Round(time.Millisecond), other.Stop())
	if took > namespaceGone {
		t.Errorf("it took %s, more than %s", took, namespaceGone)
	}
	more(t, run, 2)
	expectNoErrors(t, run)
	// Those of other tests go at the same time.
	lines := slices.DeleteFunc(in.errorLines(t, began), func(line string) bool { return !strings.Contains(line, going.namespace) })
	t.Logf("the control plane wrote %d lines at level ERROR", len(lines))
	if len(lines) > maxErrorLines {
		for _, line := range lines[:min(len(lines), 20)] {
			t.Error(line)
		}
	}
}
