// Package envoy turns the meaning of a Gateway into Envoy resources. It is pure: the same model gives the
// same bytes, in whatever order its parts were found. It knows neither Kubernetes nor how resources are
// delivered.
//
//	model.Gateway -> envoy.Build -> resource.View -> xds
//
// Three choices run through the package:
//
//   - A listener names its route tables and certificates and nothing else, so that no change of a route or a
//     pool ever touches it. Every filter that any route may need stands in it from the start, disabled.
//   - A cluster is named by its backend, and its endpoints are a resource of their own.
//   - A request can only be sent to a member of the pool its route names. The pick travels in dynamic
//     metadata that no client can write; see pool.go for what happens when there is no pick.
package envoy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

// Options are the facts about the installation that the objects do not hold. They must be equal on every
// replica, or replicas would disagree on bytes.
type Options struct {
	// BindAddress is where listeners bind; default 0.0.0.0. At :: they take IPv4, too.
	BindAddress string
	// Pickers are the addresses of the embedded endpoint picker's replicas, in order of preference: the first that
	// is healthy is asked. One replica sees all requests and so knows best what the model servers hold.
	Pickers []netip.AddrPort
	// EndingPickers are asked while none of Pickers is healthy, in this order: those that have been told to end, and serve for a while.
	EndingPickers []netip.AddrPort
	// SpreadPickers asks all of Pickers that are healthy, by least request, instead: replicas that need not know what others picked.
	SpreadPickers bool
	// PickerTLS asks them over TLS, whatever their certificate, and not in plaintext.
	PickerTLS bool
	// MaxRequestBytes is the largest request body that a pool accepts; a larger one is answered 413.
	// Default 64 MiB.
	MaxRequestBytes uint64
	// MatchBytes is how much of a request body the embedded picker is sent; default 640 KiB, which holds
	// the 131 072 tokens of four bytes that prefix matching looks at, and some JSON around them.
	MatchBytes uint64
	// PickTimeout bounds the wait for one answer of a picker; default 500 ms.
	PickTimeout time.Duration
}

// Defaults of Options.
const (
	DefaultMaxRequestBytes = 64 << 20
	DefaultMatchBytes      = 640 << 10
	DefaultPickTimeout     = 500 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.BindAddress == "" {
		o.BindAddress = "0.0.0.0"
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = DefaultMaxRequestBytes
	}
	if o.MatchBytes == 0 {
		o.MatchBytes = DefaultMatchBytes
	}
	if o.PickTimeout == 0 {
		o.PickTimeout = DefaultPickTimeout
	}
	return o
}

// Build makes the view of one Gateway. An error means a defect of this package or of the model, never bad
// user input: gatewayapi has refused that before.
func Build(gw *model.Gateway, opts Options) (*resource.View, error) {
	b := &builder{gw: gw, opts: opts.withDefaults(), view: &resource.View{
		Name:      gw.Key.String(),
		Resources: map[resource.ID]*resource.Resource{},
	}}
	for i := range gw.Ports {
		b.addPort(&gw.Ports[i])
	}
	for _, id := range slices.Sorted(maps.Keys(gw.Backends)) {
		b.addBackend(gw.Backends[id])
	}
	for _, id := range slices.Sorted(maps.Keys(gw.Secrets)) {
		b.addSecret(gw.Secrets[id])
	}
	b.addEmbeddedPicker()
	if b.err != nil {
		return nil, fmt.Errorf("building the view of Gateway %s: %w", gw.Key, b.err)
	}
	return b.view, nil
}

// builder collects the resources of one view; the first error wins.
type builder struct {
	gw   *model.Gateway
	opts Options
	view *resource.View
	err  error
}

func (b *builder) add(id resource.ID, msg proto.Message, refs []resource.ID, sources []source.Ref) {
	r, err := resource.New(id, msg, refs, sources)
	if err != nil {
		b.fail(fmt.Errorf("marshalling %s: %w", id.Name, err))
		return
	}
	b.view.Resources[id] = r
}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// pack marshals an extension's configuration deterministically.
func (b *builder) pack(msg proto.Message) *anypb.Any {
	out := &anypb.Any{}
	if err := anypb.MarshalFrom(out, msg, proto.MarshalOptions{Deterministic: true}); err != nil {
		b.fail(fmt.Errorf("marshalling %T: %w", msg, err))
	}
	return out
}

func (b *builder) addPort(p *model.Port) {
	if p.Protocol == model.HTTPS {
		b.addHTTPSListener(p)
	} else {
		b.addHTTPListener(p)
	}
	for i := range p.Chains {
		b.addRouteTable(routeTableName(p, &p.Chains[i]), &p.Chains[i])
	}
}

// routeTableName names a chain's RouteConfiguration: http/8080, https/8443/*.example.com, https/8443/*.
func routeTableName(p *model.Port, c *model.Chain) string {
	if p.Protocol == model.HTTP {
		return listenerName(p)
	}
	sni := c.SNI
	if sni == "" {
		sni = "*"
	}
	return listenerName(p) + "/" + sni
}

func listenerName(p *model.Port) string {
	scheme := "http"
	if p.Protocol == model.HTTPS {
		scheme = "https"
	}
	return scheme + "/" + strconv.Itoa(int(p.Number))
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }
