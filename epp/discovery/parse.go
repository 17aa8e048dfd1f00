package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// maxBytes bounds a file of endpoints.
const maxBytes = 1 << 20

// maxErrors bounds the errors that are told of a file.
const maxErrors = 20

// defaultNamespace is that of endpoints which name none.
const defaultNamespace = "default"

// document is the file as written.
type document struct {
	// Endpoints is nil when the file does not say: one that is being written must not take all endpoints away.
	Endpoints *[]entry `json:"endpoints"`
}

type entry struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Address   string            `json:"address"`
	Port      json.RawMessage   `json:"port"`
	Labels    map[string]string `json:"labels"`
}

// parse reads a file strictly: all of it is right, or none of it counts. The error tells all that is wrong.
func parse(text []byte) ([]datalayer.Spec, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d that a file of endpoints may have", len(text), maxBytes)
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	doc := &document{}
	strict, err := kjson.UnmarshalStrict(asJSON, doc)
	if err != nil {
		return nil, err
	}
	if len(strict) > 0 {
		return nil, problems(strict, "remove it or correct its spelling")
	}
	if doc.Endpoints == nil {
		return nil, errors.New("endpoints: missing; give [] for none")
	}
	var wrong []error
	specs := make([]datalayer.Spec, 0, len(*doc.Endpoints))
	places := map[[2]string]int{}
	for i, e := range *doc.Endpoints {
		spec, err := e.spec()
		id := [2]string{spec.Namespace, e.Name}
		if first, taken := places[id]; taken && err == nil {
			err = fmt.Errorf("name: %q is taken by endpoints[%d] in namespace %s; give each its own name", e.Name, first, spec.Namespace)
		} else {
			places[id] = i
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("endpoints[%d]: %w", i, err))
			continue
		}
		specs = append(specs, spec)
	}
	if len(wrong) > 0 {
		return nil, problems(wrong, "")
	}
	return specs, nil
}

// problems joins errors, as many as a reader can use.
func problems(list []error, advice string) error {
	if len(list) > maxErrors {
		list = append(list[:maxErrors:maxErrors], fmt.Errorf("and %d more errors", len(list)-maxErrors))
	}
	if advice == "" {
		return errors.Join(list...)
	}
	var out []error
	for _, err := range list {
		out = append(out, fmt.Errorf("%w; %s", err, advice))
	}
	return errors.Join(out...)
}

// spec is the endpoint that an entry describes.
func (e entry) spec() (datalayer.Spec, error) {
	spec := datalayer.Spec{Name: e.Name, Namespace: e.Namespace, Pod: e.Name, Labels: e.Labels}
	if spec.Namespace == "" {
		spec.Namespace = defaultNamespace
	}
	if e.Name == "" {
		return spec, errors.New("name: missing")
	}
	address, err := netip.ParseAddr(e.Address)
	switch {
	case err != nil:
		return spec, fmt.Errorf("%q: address: %q is not an IPv4 or IPv6 address (proxies route to an address, not to the name of a host)", e.Name, e.Address)
	case address.Zone() != "" || address.IsUnspecified() || address.IsMulticast():
		return spec, fmt.Errorf("%q: address: %s is not the address of one server", e.Name, e.Address)
	}
	port, err := readPort(e.Port)
	if err != nil {
		return spec, fmt.Errorf("%q: port: %w", e.Name, err)
	}
	spec.Address = netip.AddrPortFrom(address.Unmap(), port).String()
	return spec, nil
}

// readPort reads a number, or a string with one.
func readPort(raw json.RawMessage) (uint16, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return 0, errors.New("missing")
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, err
		}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%.40s is not a number from 1 to 65535", raw)
	}
	return uint16(port), nil
}
