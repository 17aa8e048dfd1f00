package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"

	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// maxPoolParents is the length that InferencePool.status.parents may have.
const maxPoolParents = 32

// resolvedPool is an InferencePool as a backend.
type resolvedPool struct {
	resolvedBackend
	object *infv1.InferencePool
}

// resolvePool finds an InferencePool, nil when there is none of that name.
func (x *index) resolvePool(key source.Key) *resolvedPool {
	if p, ok := x.pools[key]; ok {
		return p
	}
	object, ok := x.objects.InferencePools.Get(key.Namespace, key.Name)
	if !ok {
		return nil
	}
	p := x.readPool(object)
	x.pools[key] = p
	x.backends[p.ID] = &p.Backend
	return p
}

func (x *index) readPool(object *infv1.InferencePool) *resolvedPool {
	key := source.KeyOf(object)
	p := &resolvedPool{object: object}
	picker, wrong := x.resolvePicker(object)
	if wrong.found() {
		p.finding = wrong.in("spec.endpointPickerRef")
		return p
	}
	var endpoints []netip.AddrPort
	for _, e := range x.objects.PoolEndpoints(object) {
		endpoints = append(endpoints, e.Address)
	}
	protocol := model.HTTP1
	if object.Spec.AppProtocol == infv1.AppProtocolH2C {
		protocol = model.H2C
	}
	p.Backend = model.Backend{
		ID:        "pool/" + key.String(),
		Source:    poolRef(key),
		Protocol:  protocol,
		Endpoints: endpoints,
		Pool:      &model.Pool{Key: key, FailClose: failsClosed(object), Picker: picker, Rewritten: x.rewrites[key]},
	}
	return p
}

func poolRef(key source.Key) source.Ref {
	return source.Ref{Group: poolGroup, Kind: "InferencePool", Namespace: key.Namespace, Name: key.Name}
}

// reportPools makes the status of every pool: one parent per Gateway of ours with a route to it, and none for
// a pool that nothing of ours refers to any more. Where all routes to it are refused by the Gateway, so is the
// pool; such parents come last where there is not room for all.
func reportPools(in *source.Objects, gateways []*gateway, statuses map[source.Key]*infv1.InferencePoolStatus) {
	for pool := range in.InferencePools.All() {
		statuses[source.KeyOf(pool)] = &infv1.InferencePoolStatus{}
	}
	for _, g := range gateways {
		if g.refused.found() {
			continue
		}
		for key, pool := range g.pools {
			addParent(statuses[key], pool.parentStatus(g.key(), finding{}))
		}
	}
	for _, g := range gateways {
		if g.refused.found() {
			continue
		}
		for key, away := range g.turnedAway {
			if g.pools[key] == nil {
				addParent(statuses[key], away.pool.parentStatus(g.key(), away.wrong))
			}
		}
	}
	for _, s := range statuses {
		slices.SortStableFunc(s.Parents, func(a, b infv1.ParentStatus) int {
			return parentKey(a).Compare(parentKey(b))
		})
	}
}

// turnedAway is a pool that a refused route refers to.
type turnedAway struct {
	pool  *resolvedPool
	wrong finding
}

func addParent(s *infv1.InferencePoolStatus, parent infv1.ParentStatus) {
	if len(s.Parents) < maxPoolParents {
		s.Parents = append(s.Parents, parent)
	}
}

func parentKey(p infv1.ParentStatus) source.Key {
	return source.Key{Namespace: string(p.ParentRef.Namespace), Name: string(p.ParentRef.Name)}
}

// parentStatus reports to one Gateway; wrong says why it does not accept the pool.
func (p *resolvedPool) parentStatus(gateway source.Key, wrong finding) infv1.ParentStatus {
	c := conditions{generation: p.object.Generation}
	c.addUnless(wrong, string(infv1.InferencePoolConditionAccepted),
		string(infv1.InferencePoolReasonAccepted), "routes of the Gateway may forward to the pool")
	c.addUnless(p.finding, string(infv1.InferencePoolConditionResolvedRefs),
		string(infv1.InferencePoolReasonResolvedRefs), p.pickerMessage())
	group := infv1.Group(gwv1.GroupName)
	return infv1.ParentStatus{
		ParentRef: infv1.ParentReference{
			Group:     &group,
			Kind:      "Gateway",
			Namespace: infv1.Namespace(gateway.Namespace),
			Name:      infv1.ObjectName(gateway.Name),
		},
		ControllerName: ControllerName,
		Conditions:     c.list,
	}
}

func (p *resolvedPool) pickerMessage() string {
	if p.Pool == nil || p.Pool.Picker == nil {
		return "endpoints are picked by the embedded picker"
	}
	return fmt.Sprintf("endpoints are picked by Service %s/%s", p.Pool.Picker.Source.Namespace, p.Pool.Picker.Source.Name)
}
