package gatewayapi

import (
	"iter"
	"slices"

	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// Build says what the objects mean. It changes none of them and keeps references into them.
func Build(in *source.Objects, opts Options) *Result {
	x := newIndex(in, opts)
	result := &Result{Statuses: Statuses{
		GatewayClasses: map[source.Key]*gwv1.GatewayClassStatus{},
		Gateways:       map[source.Key]*gwv1.GatewayStatus{},
		HTTPRoutes:     make(map[source.Key]*gwv1.HTTPRouteStatus, in.HTTPRoutes.Len()),
		InferencePools: make(map[source.Key]*infv1.InferencePoolStatus, in.InferencePools.Len()),
	}}
	result.Pickers, result.EndingPickers = x.embeddedPickers()
	classes := x.translateClasses(result.Statuses.GatewayClasses)
	var gateways []*gateway
	p := &parents{
		gateways: map[source.Key]*gateway{},
		alone:    !opts.Fleets && len(classes) == in.GatewayClasses.Len(),
		known: func(k source.Key) bool {
			_, ok := in.Gateways.Get(k.Namespace, k.Name)
			return ok
		},
	}
	for object := range in.Gateways.All() {
		class, ours := classes[string(object.Spec.GatewayClassName)]
		if ours {
			g := x.readGateway(object, class)
			gateways = append(gateways, g)
			p.gateways[g.key()] = g
		} else if _, exists := in.GatewayClasses.Get("", string(object.Spec.GatewayClassName)); !exists && p.alone {
			result.Statuses.Gateways[source.KeyOf(object)] = classlessStatus(object)
		}
	}
	for object := range in.HTTPRoutes.All() {
		result.Statuses.HTTPRoutes[source.KeyOf(object)] = p.attach(object, x)
	}
	for _, g := range gateways {
		result.Statuses.Gateways[g.key()] = g.status()
		if !g.refused.found() {
			result.Gateways = append(result.Gateways, x.buildGateway(g))
		}
	}
	reportPools(in, gateways, result.Statuses.InferencePools)
	reportRules(x, &result.Statuses)
	return result
}

// buildGateway puts together what the proxies of a Gateway are to do.
func (x *index) buildGateway(g *gateway) *model.Gateway {
	out := &model.Gateway{
		Key:      g.key(),
		Source:   g.ref,
		Fleet:    g.fleet,
		Backends: map[string]model.Backend{},
		Secrets:  map[string]model.Secret{},
	}
	for _, group := range groupByPort(g.listeners) {
		served := slices.DeleteFunc(slices.Clone(group), func(l *listener) bool { return !l.served() })
		if len(served) == 0 {
			continue
		}
		port := model.Port{
			Number:   uint16(served[0].spec.Port),
			Protocol: served[0].protocol,
			Sources:  []source.Ref{g.ref},
		}
		t := newTable(group)
		if port.Protocol == model.HTTP {
			port.Chains = []model.Chain{t.plainChain()}
		} else {
			port.Chains = t.tlsChains(g, served)
		}
		out.Ports = append(out.Ports, port)
	}
	for _, l := range g.listeners {
		if l.served() {
			for _, s := range l.secrets {
				out.Secrets[s.ID] = s.Secret
			}
		}
	}
	x.collectBackends(out)
	return out
}

// plainChain is the one route table of a port without TLS: the Hosts of all its listeners.
func (t *table) plainChain() model.Chain {
	var chain model.Chain
	for _, l := range t.owners {
		chain.Hosts = append(chain.Hosts, t.hostsOf(l)...)
	}
	sortHosts(chain.Hosts)
	return chain
}

// tlsChains gives a route table to each listener of a port with TLS.
func (t *table) tlsChains(g *gateway, served []*listener) []model.Chain {
	slices.SortFunc(served, func(a, b *listener) int { return compareHostnames(a.hostname, b.hostname) })
	chains := make([]model.Chain, 0, len(served))
	for _, l := range served {
		chain := model.Chain{SNI: l.hostname.serverName()}
		for _, s := range l.secrets {
			chain.Secrets = append(chain.Secrets, s.ID)
		}
		chain.Hosts = append(t.hostsOf(l), t.misdirected(l, g)...)
		sortHosts(chain.Hosts)
		chains = append(chains, chain)
	}
	return chains
}

// collectBackends fills in the backends that the rules of the Gateway refer to.
func (x *index) collectBackends(g *model.Gateway) {
	for target := range targetsOf(g) {
		if _, ok := g.Backends[target.Backend]; !ok && target.Backend != "" {
			g.Backends[target.Backend] = *x.backends[target.Backend]
		}
	}
}

// targetsOf walks the targets of all rules of a Gateway.
func targetsOf(g *model.Gateway) iter.Seq[model.Target] {
	return func(yield func(model.Target) bool) {
		for rule := range rulesOf(g) {
			if rule.Action.Forward == nil {
				continue
			}
			for _, t := range rule.Action.Forward.Targets {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// rulesOf walks the rules of a Gateway, port by port.
func rulesOf(g *model.Gateway) iter.Seq[*model.Rule] {
	return func(yield func(*model.Rule) bool) {
		for _, port := range g.Ports {
			for _, chain := range port.Chains {
				for _, host := range chain.Hosts {
					for i := range host.Rules {
						if !yield(&host.Rules[i]) {
							return
						}
					}
				}
			}
		}
	}
}
