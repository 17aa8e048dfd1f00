package gatewayapi

import (
	"slices"

	"github.com/switchyard/switchyard/translate/model"
)

// table makes the Hosts of one port. A host belongs to the accepted listener with the most specific
// hostname that covers it, and to no other: not even when that listener has no rule for a request.
type table struct {
	port     uint16
	protocol model.Protocol
	owners   map[hostname]*listener
}

func newTable(group []*listener) *table {
	t := &table{
		port:     uint16(group[0].spec.Port),
		protocol: group[0].protocol,
		owners:   make(map[hostname]*listener, len(group)),
	}
	for _, l := range group {
		if !l.refused.found() {
			t.owners[l.hostname] = l
		}
	}
	return t
}

func (t *table) owner(h hostname) *listener {
	for pattern := range h.covering() {
		if l, ok := t.owners[pattern]; ok {
			return l
		}
	}
	return nil
}

// hostsOf gives the Hosts that a listener owns: its own hostname, and every hostname that a route of it
// shares with it.
//
// A proxy chooses a Host by its name and looks in no other, but a rule of a less specific hostname is to be
// tried when no rule of a more specific one matches. So each Host holds the rules of every route whose
// hostname covers it, those of more specific hostnames first. What counts is the hostname as the route
// gives it, not what the listener leaves of it.
func (t *table) hostsOf(l *listener) []model.Host {
	tiers := sortTiers(l)
	names := t.namesOf(l)
	hosts := make([]model.Host, 0, len(names))
	for _, name := range names {
		hosts = append(hosts, model.Host{Name: name.String(), Rules: t.rulesOf(name, tiers)})
	}
	return hosts
}

// sortTiers gives the rules attached to a listener by the hostname of their route, each list in the order
// in which it is to be tried.
func sortTiers(l *listener) map[hostname][]*rule {
	tiers := map[hostname][]*rule{}
	for _, r := range l.attached {
		if len(r.hostnames) == 0 {
			tiers[""] = append(tiers[""], r.rules...)
		}
		for i, h := range r.hostnames {
			if _, ok := intersect(h, l.hostname); ok && !slices.Contains(r.hostnames[:i], h) {
				tiers[h] = append(tiers[h], r.rules...)
			}
		}
	}
	for _, rules := range tiers {
		slices.SortFunc(rules, compareRules)
	}
	return tiers
}

// namesOf lists the hostnames of a listener that no more specific listener owns, in the order of Chain.Hosts.
func (t *table) namesOf(l *listener) []hostname {
	seen := map[hostname]bool{l.hostname: true}
	names := []hostname{l.hostname}
	for _, r := range l.attached {
		for _, h := range r.hostnames {
			if name, ok := intersect(h, l.hostname); ok && !seen[name] {
				seen[name] = true
				if t.owner(name) == l {
					names = append(names, name)
				}
			}
		}
	}
	slices.SortFunc(names, compareHostnames)
	return names
}

// rulesOf gives the rules for one hostname, tier after tier; a route that has several hostnames counts
// with the most specific of them.
func (t *table) rulesOf(name hostname, tiers map[hostname][]*rule) []model.Rule {
	var found [][]*rule
	total := 0
	for pattern := range name.covering() {
		if tier := tiers[pattern]; len(tier) > 0 {
			found = append(found, tier)
			total += len(tier)
		}
	}
	if total == 0 {
		return nil
	}
	rules := make([]model.Rule, 0, total)
	var placed map[*rule]bool
	if len(found) > 1 {
		placed = make(map[*rule]bool, total)
	}
	for _, tier := range found {
		for _, r := range tier {
			if placed[r] {
				continue
			}
			if placed != nil {
				placed[r] = true
			}
			rules = append(rules, r.on(t.port, t.protocol))
		}
	}
	return rules
}

// misdirected gives the Hosts of a TLS chain that belong to other listeners of the port. A client that
// asks for one over a connection made for this listener is told so (RFC 9110, 421), and makes another.
func (t *table) misdirected(l *listener, gateway *gateway) []model.Host {
	var hosts []model.Host
	for h, owner := range t.owners {
		if owner == l {
			continue
		}
		hosts = append(hosts, model.Host{Name: h.String(), Rules: []model.Rule{{
			Name:   "Gateway/" + gateway.key().String() + "/listener/" + l.name() + "/misdirected/" + h.String(),
			Source: gateway.ref,
			Action: model.Action{Reply: &model.Reply{
				Status: 421,
				Body:   "This connection was made for another host.",
			}},
		}}})
	}
	return hosts
}

func sortHosts(hosts []model.Host) {
	slices.SortFunc(hosts, func(a, b model.Host) int {
		return compareHostnames(parseHostname(a.Name), parseHostname(b.Name))
	})
}
