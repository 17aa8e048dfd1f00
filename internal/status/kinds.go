package status

import (
	"iter"

	"sigs.k8s.io/controller-runtime/pkg/client"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// kinds are those whose statuses are written, each with where to find its objects and wanted statuses, the
// part of the object that is written, and how the two are merged. A kind is served in turn with the others,
// so that a Gateway does not wait behind thousands of routes.
var kinds = []kind{
	table[gwv1.GatewayClass, gwv1.GatewayClassStatus, *gwv1.GatewayClass]{
		kindName: "GatewayClass",
		objects:  func(o *source.Objects) source.Set[*gwv1.GatewayClass] { return o.GatewayClasses },
		wanted:   func(s *gatewayapi.Statuses, k source.Key) *gwv1.GatewayClassStatus { return s.GatewayClasses[k] },
		status:   func(o *gwv1.GatewayClass) *gwv1.GatewayClassStatus { return &o.Status },
		mergeIn:  mergeGatewayClass,
	},
	table[gwv1.Gateway, gwv1.GatewayStatus, *gwv1.Gateway]{
		kindName: "Gateway",
		objects:  func(o *source.Objects) source.Set[*gwv1.Gateway] { return o.Gateways },
		wanted:   func(s *gatewayapi.Statuses, k source.Key) *gwv1.GatewayStatus { return s.Gateways[k] },
		status:   func(o *gwv1.Gateway) *gwv1.GatewayStatus { return &o.Status },
		mergeIn:  mergeGateway,
	},
	table[gwv1.HTTPRoute, gwv1.RouteStatus, *gwv1.HTTPRoute]{
		kindName: "HTTPRoute",
		objects:  func(o *source.Objects) source.Set[*gwv1.HTTPRoute] { return o.HTTPRoutes },
		wanted: func(s *gatewayapi.Statuses, k source.Key) *gwv1.RouteStatus {
			if w := s.HTTPRoutes[k]; w != nil {
				return &w.RouteStatus
			}
			return nil
		},
		status:  func(o *gwv1.HTTPRoute) *gwv1.RouteStatus { return &o.Status.RouteStatus },
		mergeIn: mergeRoute,
	},
	table[infv1.InferencePool, infv1.InferencePoolStatus, *infv1.InferencePool]{
		kindName: "InferencePool",
		objects:  func(o *source.Objects) source.Set[*infv1.InferencePool] { return o.InferencePools },
		wanted:   func(s *gatewayapi.Statuses, k source.Key) *infv1.InferencePoolStatus { return s.InferencePools[k] },
		status:   func(o *infv1.InferencePool) *infv1.InferencePoolStatus { return &o.Status },
		mergeIn:  mergePool,
	},
	table[llmd.InferenceObjective, llmd.InferenceObjectiveStatus, *llmd.InferenceObjective]{
		kindName: llmd.ObjectiveKind,
		objects:  func(o *source.Objects) source.Set[*llmd.InferenceObjective] { return o.InferenceObjectives },
		wanted: func(s *gatewayapi.Statuses, k source.Key) *llmd.InferenceObjectiveStatus {
			return s.InferenceObjectives[k]
		},
		status:  func(o *llmd.InferenceObjective) *llmd.InferenceObjectiveStatus { return &o.Status },
		mergeIn: mergeObjective,
	},
	table[llmd.InferenceModelRewrite, llmd.InferenceModelRewriteStatus, *llmd.InferenceModelRewrite]{
		kindName: llmd.RewriteKind,
		objects:  func(o *source.Objects) source.Set[*llmd.InferenceModelRewrite] { return o.InferenceModelRewrites },
		wanted: func(s *gatewayapi.Statuses, k source.Key) *llmd.InferenceModelRewriteStatus {
			return s.InferenceModelRewrites[k]
		},
		status:  func(o *llmd.InferenceModelRewrite) *llmd.InferenceModelRewriteStatus { return &o.Status },
		mergeIn: mergeModelRewrite,
	},
	table[llmd.OlderInferenceObjective, llmd.InferenceObjectiveStatus, *llmd.OlderInferenceObjective]{
		kindName: llmd.ObjectiveKind + "." + llmd.OlderGroup,
		objects:  func(o *source.Objects) source.Set[*llmd.OlderInferenceObjective] { return o.OlderInferenceObjectives },
		wanted: func(s *gatewayapi.Statuses, k source.Key) *llmd.InferenceObjectiveStatus {
			return s.OlderInferenceObjectives[k]
		},
		status:  func(o *llmd.OlderInferenceObjective) *llmd.InferenceObjectiveStatus { return &o.Status },
		mergeIn: mergeObjective,
	},
	table[llmd.OlderInferenceModelRewrite, llmd.InferenceModelRewriteStatus, *llmd.OlderInferenceModelRewrite]{
		kindName: llmd.RewriteKind + "." + llmd.OlderGroup,
		objects: func(o *source.Objects) source.Set[*llmd.OlderInferenceModelRewrite] {
			return o.OlderInferenceModelRewrites
		},
		wanted: func(s *gatewayapi.Statuses, k source.Key) *llmd.InferenceModelRewriteStatus {
			return s.OlderInferenceModelRewrites[k]
		},
		status:  func(o *llmd.OlderInferenceModelRewrite) *llmd.InferenceModelRewriteStatus { return &o.Status },
		mergeIn: mergeModelRewrite,
	},
}

// kind is one entry of the table, without its types.
type kind interface {
	name() string
	// all walks the objects that have a wanted status.
	all(*want) iter.Seq[subject]
	find(*want, source.Key) (subject, bool)
	// merge gives the object's status before and after, both nil when nothing changes.
	merge(m *merger, base client.Object, wanted any) (before, after client.Object)
	// trim keeps of an object what a later merge needs.
	trim(client.Object) client.Object
	blank() client.Object
}

// subject is an object as last seen by the source, with its wanted status.
type subject struct {
	key    source.Key
	object client.Object
	wanted any
}

// table is a kind of objects O, which point to T, with the part S of their status.
type table[T, S any, O interface {
	*T
	client.Object
}] struct {
	kindName string
	objects  func(*source.Objects) source.Set[O]
	wanted   func(*gatewayapi.Statuses, source.Key) *S
	status   func(O) *S
	mergeIn  func(m *merger, have, want *S) S
}

func (t table[T, S, O]) name() string { return t.kindName }

func (t table[T, S, O]) blank() client.Object { return O(new(T)) }

func (t table[T, S, O]) all(w *want) iter.Seq[subject] {
	return func(yield func(subject) bool) {
		for object := range t.objects(w.objects).All() {
			key := source.KeyOf(object)
			if wanted := t.wanted(&w.statuses, key); wanted != nil && !yield(subject{key, object, wanted}) {
				return
			}
		}
	}
}

func (t table[T, S, O]) find(w *want, key source.Key) (subject, bool) {
	object, found := t.objects(w.objects).Get(key.Namespace, key.Name)
	wanted := t.wanted(&w.statuses, key)
	if !found || wanted == nil {
		return subject{}, false
	}
	return subject{key, object, wanted}, true
}

func (t table[T, S, O]) merge(m *merger, base client.Object, wanted any) (before, after client.Object) {
	merged := t.mergeIn(m, t.status(base.(O)), wanted.(*S))
	if !m.changed {
		return nil, nil
	}
	after = t.trim(base)
	*t.status(after.(O)) = merged
	return t.trim(base), after
}

func (t table[T, S, O]) trim(object client.Object) client.Object {
	out := O(new(T))
	out.SetNamespace(object.GetNamespace())
	out.SetName(object.GetName())
	out.SetUID(object.GetUID())
	out.SetGeneration(object.GetGeneration())
	out.SetResourceVersion(object.GetResourceVersion())
	*t.status(out) = *t.status(object.(O))
	return out
}
