package filter

import (
	"net/netip"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// HeaderBasedTestingType is the type of HeaderBasedTesting, which takes no parameters.
const HeaderBasedTestingType = "header-based-testing-filter"

// TestSelectionHeader lists, separated by commas, the endpoints that a request may go to: an IP stands for all of its
// ports, an IP with a port for that one.
const TestSelectionHeader = "test-epp-endpoint-selection"

// HeaderBasedTesting keeps the endpoints that TestSelectionHeader lists, and all of them when a request does not have it.
// The header beats the subset that the proxy allows. It lets a client choose the endpoint, so it belongs into test
// configurations only.
type HeaderBasedTesting struct{}

// NewHeaderBasedTesting takes no parameters.
func NewHeaderBasedTesting(parameters []byte) (*HeaderBasedTesting, error) {
	return &HeaderBasedTesting{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// RequestHeaders implements scheduling.HeaderReader.
func (*HeaderBasedTesting) RequestHeaders() []string { return []string{TestSelectionHeader} }

// OverridesSubset implements scheduling.SubsetOverrider.
func (*HeaderBasedTesting) OverridesSubset(headers scheduling.Headers) bool {
	return headers.Get(TestSelectionHeader) != ""
}

// Filter implements scheduling.Filter.
func (*HeaderBasedTesting) Filter(c *scheduling.Cycle, in []int) []int {
	listed := c.Headers.Get(TestSelectionHeader)
	if listed == "" {
		return in
	}
	allowed := parseSelection(listed)
	kept := in[:0]
	for _, i := range in {
		if allowed.has(c.Candidates[i].Address) {
			kept = append(kept, i)
		}
	}
	return kept
}

// selection is a set of endpoints; port 0 stands for all ports.
type selection map[netip.AddrPort]bool

// parseSelection reads a comma list. What is neither an IP nor an IP with a port selects nothing.
func parseSelection(listed string) selection {
	allowed := selection{}
	for item := range strings.SplitSeq(listed, ",") {
		item = strings.TrimSpace(item)
		if exact, err := netip.ParseAddrPort(item); err == nil && exact.Port() != 0 {
			allowed[netip.AddrPortFrom(exact.Addr().Unmap(), exact.Port())] = true
		} else if ip, err := netip.ParseAddr(item); err == nil {
			allowed[netip.AddrPortFrom(ip.Unmap(), 0)] = true
		}
	}
	return allowed
}

func (s selection) has(address string) bool {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap()
	return s[netip.AddrPortFrom(ip, at.Port())] || s[netip.AddrPortFrom(ip, 0)]
}
