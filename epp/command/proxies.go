package command

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/internal/source"
)

// proxyFlags say which proxies get their configuration from beside this picker, and what it is.
type proxyFlags struct {
	xds       string
	view      string
	listen    string
	failOpen  bool
	pickers   []string
	selector  string
	spread    bool
	admission admissionFlags
}

// proxyFlag is the first of the flags, which the others need.
const proxyFlag = "proxy-xds-address"

func (p *proxyFlags) register(set *pflag.FlagSet) {
	set.StringVar(&p.xds, proxyFlag, "", "also give proxies their configuration over xDS (delta ADS), at this host:port; empty: do not. "+
		"They send every request to the pool and ask a picker for each")
	set.StringVar(&p.view, "proxy-view", "", "namespace/name that these proxies give as their node's cluster")
	set.StringVar(&p.listen, "proxy-listen", "", "ip:port where they listen for HTTP")
	set.BoolVar(&p.failOpen, "proxy-fail-open", true, "while no picker answers, let requests through to any endpoint; false: refuse them with 503")
	set.StringSliceVar(&p.pickers, "proxy-picker", nil, "ip:port of a picker that they ask; several: the first that is healthy")
	set.StringVar(&p.selector, "proxy-picker-selector", "", "instead: ask the pods of this picker's own namespace with these labels, at --grpc-port, the oldest that is ready")
	set.BoolVar(&p.spread, "proxy-picker-spread", false, "ask all pickers that are healthy, by least request, and not the first or oldest alone: for replicas that all answer and "+
		"pick by what model servers tell, since none knows where the others placed prompts")
	p.admission.register(set)
}

// validateProxies checks what the flags of proxies say, alone and beside the others.
func (f *pickerFlags) validateProxies(set *pflag.FlagSet) error {
	p := &f.proxy
	if p.xds == "" {
		return p.withoutXDS(set)
	}
	if f.manifests != "" {
		return fmt.Errorf("--%s and -f exclude each other; serve the folder to proxies with the command serve", proxyFlag)
	}
	if !f.healthChecking {
		return fmt.Errorf("--health-checking=false and --%s exclude each other: proxies ask a picker for its health before they ask it for anything; leave one of them out", proxyFlag)
	}
	if _, _, err := net.SplitHostPort(p.xds); err != nil {
		return fmt.Errorf("--%s: %w; give host:port", proxyFlag, err)
	}
	if _, err := p.parseView(); err != nil {
		return err
	}
	if _, err := p.parseListen(); err != nil {
		return err
	}
	if _, err := p.parsePickers(); err != nil {
		return err
	}
	if err := f.validatePickers(); err != nil {
		return err
	}
	return f.validateAdmission()
}

// withoutXDS refuses flags that would have no effect.
func (p *proxyFlags) withoutXDS(set *pflag.FlagSet) error {
	for _, name := range []string{"proxy-view", "proxy-listen", "proxy-fail-open", "proxy-picker", "proxy-picker-selector", "proxy-picker-spread",
		secretFlag, serverNameFlag, xdsCertFlag, insecureFlag} {
		if set.Changed(name) {
			return fmt.Errorf("--%s is for proxies that get their configuration here; give --%s too, or leave it out", name, proxyFlag)
		}
	}
	return nil
}

func (f *pickerFlags) validatePickers() error {
	p := &f.proxy
	switch {
	case p.selector == "" && len(p.pickers) == 0:
		return fmt.Errorf("--%s: nobody for proxies to ask; name pickers with --proxy-picker, or their pods with --proxy-picker-selector", proxyFlag)
	case p.selector == "":
		return nil
	case len(p.pickers) > 0:
		return errors.New("--proxy-picker and --proxy-picker-selector exclude each other; keep one")
	case f.pool.discovers():
		return errors.New("--proxy-picker-selector needs a cluster for its pods; give --proxy-picker, or leave dataLayer.discovery out of the configuration")
	case f.grpcPort == 0:
		return errors.New("--proxy-picker-selector: pods are asked at --grpc-port, which is 0; give the port that all of them have")
	}
	if own, pool := os.Getenv("NAMESPACE"), f.pool.inNamespace(); own != "" && own != pool {
		return fmt.Errorf("--proxy-picker-selector: the picker runs in namespace %s and the pool is in %s, the only one that is watched; "+
			"run it in the pool's namespace, or give --proxy-picker", own, pool)
	}
	_, err := p.parseSelector()
	return err
}

func (p *proxyFlags) parseView() (source.Key, error) {
	namespace, name, both := strings.Cut(p.view, "/")
	if !both || namespace == "" || name == "" || strings.Contains(name, "/") {
		return source.Key{}, fmt.Errorf("--proxy-view: %q; give namespace/name, as proxies have it under node.cluster", p.view)
	}
	return source.Key{Namespace: namespace, Name: name}, nil
}

func (p *proxyFlags) parseListen() (netip.AddrPort, error) {
	text := p.listen
	if strings.HasPrefix(text, ":") {
		text = "0.0.0.0" + text
	}
	return parseAddress("proxy-listen", text)
}

func (p *proxyFlags) parsePickers() ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range p.pickers {
		picker, err := parseAddress("proxy-picker", text)
		if err != nil {
			return nil, err
		}
		if picker.Addr().IsUnspecified() {
			return nil, fmt.Errorf("--proxy-picker: %s is nobody's address; give the one where proxies find the picker", picker)
		}
		out = append(out, picker)
	}
	return out, nil
}

// parseAddress reads what proxies take: an address, not a name.
func parseAddress(flag, text string) (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(text)
	if err != nil || address.Port() == 0 || address.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("--%s: %q; give ip:port, such as 127.0.0.1:8081 or [::1]:8081", flag, text)
	}
	return address, nil
}

func (p *proxyFlags) parseSelector() (labels.Selector, error) {
	parsed, err := labels.Parse(p.selector)
	if err != nil {
		return nil, fmt.Errorf("--proxy-picker-selector %q: %w", p.selector, err)
	}
	if parsed.Empty() {
		return nil, fmt.Errorf("--proxy-picker-selector: %q selects every pod of the namespace; name a label", p.selector)
	}
	return parsed, nil
}
