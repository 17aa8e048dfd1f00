package envoy

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

const (
	// embeddedPicker is the cluster of our own endpoint pickers.
	embeddedPicker = "epp"
	// pickerConnect bounds the connection to a picker: a request waits behind it.
	pickerConnect = 250 * time.Millisecond
	// healthInterval and healthTimeout bound how long a picker that hangs keeps being asked.
	healthInterval = time.Second
	healthTimeout  = 500 * time.Millisecond
)

// addEmbeddedPicker adds the cluster of our own pickers. It stands in every view, since the filter in every
// listener names it.
func (b *builder) addEmbeddedPicker() {
	c := b.pickerCluster(embeddedPicker, pingOwn)
	check := newHealthCheck()
	check.HealthChecker = &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{
		ServiceName: "envoy.service.ext_proc.v3.ExternalProcessor",
	}}
	c.HealthChecks = []*corev3.HealthCheck{check}
	if b.opts.PickerTLS {
		c.TransportSocket = b.unverifiedTLS()
	}
	pickers := loadAssignment(c.Name, nil)
	if b.opts.SpreadPickers {
		pickers = loadAssignment(c.Name, b.opts.Pickers)
	} else {
		appendInOrder(pickers, b.opts.Pickers)
	}
	appendInOrder(pickers, b.opts.EndingPickers)
	b.addCluster(c, pickers, []source.Ref{b.gw.Source})
}

// appendInOrder gives each endpoint a priority of its own, below those that there are: Envoy asks the first that is healthy.
func appendInOrder(out *endpointv3.ClusterLoadAssignment, endpoints []netip.AddrPort) {
	for _, e := range endpoints {
		one := loadAssignment(out.ClusterName, []netip.AddrPort{e}).Endpoints[0]
		one.Priority = uint32(len(out.Endpoints))
		out.Endpoints = append(out.Endpoints, one)
	}
}

// addForeignPicker adds the cluster of a picker behind a Service. The protocol asks for TLS that is not
// verified.
func (b *builder) addForeignPicker(p *model.Picker) {
	c := b.pickerCluster(p.ID, pingAny)
	c.HealthChecks = []*corev3.HealthCheck{anyAnswer()}
	c.OutlierDetection = pickerOutliers()
	if !p.Plaintext {
		c.TransportSocket = b.unverifiedTLS()
	}
	pickers := loadAssignment(c.Name, p.Endpoints)
	appendInOrder(pickers, p.Ending)
	b.addCluster(c, pickers, []source.Ref{p.Source})
}

// anyAnswer takes a picker as alive that answers a question for its health, whatever it answers: not every
// picker serves gRPC health on the port that requests go to (Envoy takes UNIMPLEMENTED for a failure), and
// those that do mean different things by it. Whether a picker is ready to be asked at all is told by its
// Service's endpoints.
func anyAnswer() *corev3.HealthCheck {
	header := func(key, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: key, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	check := newHealthCheck()
	check.HealthChecker = &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
		CodecClientType:     typev3.CodecClientType_HTTP2,
		Method:              corev3.RequestMethod_POST,
		Host:                "picker",
		Path:                "/grpc.health.v1.Health/Check",
		RequestHeadersToAdd: []*corev3.HeaderValueOption{header("content-type", "application/grpc"), header("te", "trailers")},
		// An empty message: five bytes of gRPC framing.
		Send:             &corev3.HealthCheck_Payload{Payload: &corev3.HealthCheck_Payload_Text{Text: "0000000000"}},
		ExpectedStatuses: []*typev3.Int64Range{{Start: 100, End: 600}},
	}}
	return check
}

// unverifiedTLS takes any certificate, and any version from 1.2 on: left to itself Envoy stops at 1.2, and a picker may ask for more.
func (b *builder) unverifiedTLS() *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: b.pack(&tlsv3.UpstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{
				AlpnProtocols: []string{"h2"},
				TlsParams: &tlsv3.TlsParameters{
					TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
					TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
				},
				ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
					ValidationContext: &tlsv3.CertificateValidationContext{
						TrustChainVerification: tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED,
					},
				},
			},
		})},
	}
}

// pickerCluster makes what all pickers share. A picker that is not healthy is not asked at all (no panic):
// that is what makes failing open quick.
func (b *builder) pickerCluster(name string, ping time.Duration) *clusterv3.Cluster {
	c := newCluster(name, pickerConnect)
	c.TypedExtensionProtocolOptions = b.upstreamProtocol(true, ping)
	c.LoadBalancingPolicy = b.leastRequest()
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{
		HealthyPanicThreshold: &typev3.Percent{Value: 0},
		// Left to itself Envoy keeps what a health check finds for up to a second after a change of endpoints, and nobody asks a new picker for so long.
		UpdateMergeWindow: duration(0),
	}
	c.PerConnectionBufferLimitBytes = wrapperspb.UInt32(1 << 20)
	return c
}

// pickerOutliers stops asking a foreign picker that cannot be connected to before its health check says so: with
// a body streamed to a picker Envoy cannot go on without it, and each request until then is answered 503. A
// health check that passes ends it.
func pickerOutliers() *clusterv3.OutlierDetection {
	o := connectionOutliers()
	o.BaseEjectionTime, o.MaxEjectionTime = duration(healthInterval), duration(healthInterval)
	o.MaxEjectionPercent = wrapperspb.UInt32(100)
	return o
}

func newHealthCheck() *corev3.HealthCheck {
	return &corev3.HealthCheck{
		Timeout:            duration(healthTimeout),
		Interval:           duration(healthInterval),
		NoTrafficInterval:  duration(healthInterval),
		UnhealthyThreshold: wrapperspb.UInt32(1),
		HealthyThreshold:   wrapperspb.UInt32(1),
		ReuseConnection:    wrapperspb.Bool(true),
	}
}
