package gatewayapi

import (
	"cmp"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		Pool:      &model.Pool{Key: key, FailClose: failsClosed(object), Picker: picker},
	}
	return p
}

func poolRef(key source.Key) source.Ref {
	return source.Ref{Group: poolGroup, Kind: "InferencePool", Namespace: key.Namespace, Name: key.Name}
}

// embeddedGroup and embeddedKind name the embedded picker in a pool's endpointPickerRef. A pool without a
// reference is picked for by the embedded picker, too; the reference is for setting failureMode, which
// stands inside of it.
const (
	embeddedGroup = "switchyard.dev"
	embeddedKind  = "EndpointPicker"
)

// failsClosed tells whether requests are refused while there is no pick. The field stands inside the
// reference to a picker, where the API's default is FailClose; a pool without a reference keeps serving.
func failsClosed(object *infv1.InferencePool) bool {
	ref := object.Spec.EndpointPickerRef
	return ref != nil && ref.FailureMode != infv1.EndpointPickerFailOpen
}

// resolvePicker finds the endpoint picker that a pool names, nil when it leaves picking to us.
func (x *index) resolvePicker(object *infv1.InferencePool) (*model.Picker, finding) {
	ref := object.Spec.EndpointPickerRef
	if ref == nil {
		return nil, finding{}
	}
	invalid := string(infv1.InferencePoolReasonInvalidExtensionRef)
	group, kind := valueOr(ref.Group, coreGroup), cmp.Or(ref.Kind, "Service")
	if group == embeddedGroup && kind == embeddedKind {
		return nil, finding{}
	}
	if group != coreGroup || kind != "Service" {
		return nil, find(invalid, "kind %s of group %q is not a picker; refer to a Service, or remove the field for the embedded picker", kind, group)
	}
	key := source.Key{Namespace: object.Namespace, Name: string(ref.Name)}
	if ref.Port == nil {
		return nil, find(invalid, "a reference to Service %s needs a port", key)
	}
	service, port, wrong := x.findServicePort(key, int32(ref.Port.Number))
	if wrong.found() {
		wrong.reason = invalid
		return nil, wrong
	}
	return &model.Picker{
		ID:        fmt.Sprintf("epp/%s/%d", key, port.Port),
		Source:    source.Ref{Kind: "Service", Namespace: key.Namespace, Name: key.Name},
		Endpoints: x.serviceEndpoints(service, port),
	}, finding{}
}

// reportPools makes the status of every pool: one parent per Gateway of ours with an accepted route to it,
// and none for a pool that nothing of ours refers to any more.
func reportPools(in *source.Objects, gateways []*gateway, statuses map[source.Key]*infv1.InferencePoolStatus) {
	for pool := range in.InferencePools.All() {
		statuses[source.KeyOf(pool)] = &infv1.InferencePoolStatus{}
	}
	for _, g := range gateways {
		if g.refused.found() {
			continue
		}
		for key, pool := range g.pools {
			if s := statuses[key]; len(s.Parents) < maxPoolParents {
				s.Parents = append(s.Parents, pool.parentStatus(g.key()))
			}
		}
	}
}

func (p *resolvedPool) parentStatus(gateway source.Key) infv1.ParentStatus {
	c := conditions{generation: p.object.Generation}
	c.add(string(infv1.InferencePoolConditionAccepted), metav1.ConditionTrue,
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
