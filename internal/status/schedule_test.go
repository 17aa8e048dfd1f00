package status

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// manyRoutes gives routes with what is wanted for each; those that are settled have it already.
func manyRoutes(n int, settled bool) *want {
	var objects []*gwv1.HTTPRoute
	statuses := gatewayapi.Statuses{HTTPRoutes: map[source.Key]*gwv1.HTTPRouteStatus{}}
	for i := range n {
		r := routeObject(fmt.Sprint("r", i))
		r.ResourceVersion = "100"
		wanted := func() *gwv1.HTTPRouteStatus {
			return routeStatuses(routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 1), condition("ResolvedRefs", metav1.ConditionTrue, 1)))
		}
		statuses.HTTPRoutes[source.KeyOf(r)] = wanted()
		if settled {
			r.Status = *wanted()
		}
		objects = append(objects, r)
	}
	return &want{objects: &source.Objects{HTTPRoutes: source.NewSet(objects...)}, statuses: statuses, since: time.Unix(1000, 0)}
}

func quietSchedule() *schedule {
	return newSchedule(ours, newMetrics(nil), slog.New(slog.DiscardHandler))
}

// Nothing is kept of objects at rest: neither when the source has seen the write, nor, after a while, when
// it does not.
func TestObjectsAtRestAreNotKept(t *testing.T) {
	const n = 1000
	for name, follows := range map[string]bool{"the source has seen the writes": true, "the source says nothing": false} {
		t.Run(name, func(t *testing.T) {
			s, now := quietSchedule(), time.Unix(1000, 0)
			s.take(manyRoutes(n, false), now)
			writes := 0
			for stop := now.Add(20 * time.Second); now.Before(stop); now = now.Add(10 * time.Millisecond) {
				for j := s.next(now); j != nil; j = s.next(now) {
					j.after.SetResourceVersion("101")
					s.done(result{job: j, object: j.after}, now)
					writes++
				}
			}
			if writes != n {
				t.Fatalf("%d writes of %d routes", writes, n)
			}
			if follows {
				settled := manyRoutes(n, true)
				for r := range settled.objects.HTTPRoutes.All() {
					r.ResourceVersion = "101"
				}
				s.take(settled, now)
			} else {
				now = now.Add(memory)
				s.next(now)
			}
			for _, entries := range s.entries {
				if len(entries) > 0 {
					t.Errorf("%d entries are kept", len(entries))
				}
			}
			if len(s.asleep) > 0 {
				t.Errorf("%d entries sleep", len(s.asleep))
			}
		})
	}
}

// BenchmarkWantWithNothingToWrite is what every change of any object costs the leader.
func BenchmarkWantWithNothingToWrite(b *testing.B) {
	w := manyRoutes(10_000, true)
	s, now := quietSchedule(), time.Unix(1000, 0)
	s.take(w, now)
	if j := s.next(now); j != nil {
		b.Fatalf("%s is to be written", j.entry.key)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.take(w, now)
	}
}
