// Package report shows people what Switchyard made of their objects: the xDS resources with the objects they
// came from, and the conditions as a tree. It computes nothing.
//
//	translate.Output, source.Problem -> report -> YAML, JSON, text
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	yaml "sigs.k8s.io/yaml/goyaml.v3"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
)

// Format is how a translation is printed.
type Format string

// The formats of Translation.
const (
	YAML Format = "yaml"
	JSON Format = "json"
)

// Document is a translation as it is printed.
type Document struct {
	Views    []ViewDocument   `json:"views"`
	Statuses []StatusDocument `json:"statuses"`
	Problems []string         `json:"problems,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
}

// ViewDocument is what the proxies of one Gateway are given.
type ViewDocument struct {
	Gateway   string             `json:"gateway"`
	Resources []ResourceDocument `json:"resources"`
}

// ResourceDocument is one xDS resource. Version is the hash of its bytes.
type ResourceDocument struct {
	Type    string          `json:"type"`
	Name    string          `json:"name"`
	Version string          `json:"version"`
	From    []string        `json:"from"`
	Needs   []string        `json:"needs,omitempty"`
	Config  json.RawMessage `json:"config"`
}

// StatusDocument is the wanted status of one object.
type StatusDocument struct {
	Object string          `json:"object"`
	Status json.RawMessage `json:"status"`
}

// Translation prints every resource, named with the objects it was made from, and every status. Private keys
// are left out.
func Translation(w io.Writer, format Format, update source.Update, out *translate.Output) error {
	doc, err := document(update, out)
	if err != nil {
		return err
	}
	var text []byte
	switch format {
	case JSON:
		text, err = json.MarshalIndent(doc, "", "  ")
		text = append(text, '\n')
	case YAML:
		text, err = orderedYAML(doc)
	default:
		return fmt.Errorf("format %q is not known; use %s or %s", format, YAML, JSON)
	}
	if err != nil {
		return fmt.Errorf("rendering the translation: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// orderedYAML keeps the members in the order of the document, name first, not in that of the alphabet.
func orderedYAML(doc *Document) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(text, &tree); err != nil { // JSON is YAML
		return nil, err
	}
	toBlockStyle(&tree)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&tree); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// toBlockStyle drops the braces and quotes that the JSON had.
func toBlockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		toBlockStyle(child)
	}
}

func document(update source.Update, out *translate.Output) (*Document, error) {
	statuses, err := statusDocuments(out.Statuses)
	if err != nil {
		return nil, err
	}
	doc := &Document{
		Statuses: statuses,
		Problems: texts(update.Problems),
		Warnings: texts(update.Warnings),
	}
	for _, name := range slices.Sorted(maps.Keys(out.Views)) {
		view := ViewDocument{Gateway: name}
		for _, id := range slices.SortedFunc(maps.Keys(out.Views[name].Resources), compareIDs) {
			r, err := resourceDocument(out.Views[name].Resources[id])
			if err != nil {
				return nil, err
			}
			view.Resources = append(view.Resources, r)
		}
		doc.Views = append(doc.Views, view)
	}
	return doc, nil
}

func texts(problems []source.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return out
}

// typeOrder is the order in which a reader follows a request.
var typeOrder = []string{
	resource.ListenerType, resource.RouteType, resource.ClusterType, resource.EndpointType, resource.SecretType,
}

func compareIDs(a, b resource.ID) int {
	if d := slices.Index(typeOrder, a.Type) - slices.Index(typeOrder, b.Type); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}

func shortType(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }

func resourceDocument(r *resource.Resource) (ResourceDocument, error) {
	doc := ResourceDocument{Type: shortType(r.Type), Name: r.Name, Version: r.Version}
	for _, s := range r.Sources {
		doc.From = append(doc.From, s.String())
	}
	for _, n := range r.Refs {
		doc.Needs = append(doc.Needs, shortType(n.Type)+" "+n.Name)
	}
	msg, err := r.Body.UnmarshalNew()
	if err != nil {
		return doc, fmt.Errorf("reading %s %s: %w", doc.Type, doc.Name, err)
	}
	redact(msg)
	if doc.Config, err = protojson.Marshal(msg); err != nil {
		return doc, fmt.Errorf("rendering %s %s: %w", doc.Type, doc.Name, err)
	}
	return doc, nil
}

// redact removes what must not be printed.
func redact(msg proto.Message) {
	if s, ok := msg.(*tlsv3.Secret); ok {
		if cert := s.GetTlsCertificate(); cert != nil {
			cert.PrivateKey = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "<redacted>"}}
		}
	}
}

func statusDocuments(s gatewayapi.Statuses) ([]StatusDocument, error) {
	w := &statusWriter{}
	writeStatuses(w, "GatewayClass", s.GatewayClasses)
	writeStatuses(w, "Gateway", s.Gateways)
	writeStatuses(w, "HTTPRoute", s.HTTPRoutes)
	writeStatuses(w, "InferencePool", s.InferencePools)
	writeStatuses(w, llmd.ObjectiveKind, s.InferenceObjectives)
	writeStatuses(w, llmd.ObjectiveKind+"."+llmd.OlderGroup, s.OlderInferenceObjectives)
	writeStatuses(w, llmd.RewriteKind, s.InferenceModelRewrites)
	writeStatuses(w, llmd.RewriteKind+"."+llmd.OlderGroup, s.OlderInferenceModelRewrites)
	return w.out, w.err
}

// statusWriter gathers rendered statuses; the first error stops it.
type statusWriter struct {
	out []StatusDocument
	err error
}

// noTime is how the transition time of a wanted condition, which has none, would be printed.
var noTime = []byte(`"lastTransitionTime":null,`)

func writeStatuses[S any](w *statusWriter, kind string, statuses map[source.Key]*S) {
	for _, key := range slices.SortedFunc(maps.Keys(statuses), source.Key.Compare) {
		if w.err != nil {
			return
		}
		var text []byte
		ref := source.Ref{Kind: kind, Namespace: key.Namespace, Name: key.Name}
		text, w.err = json.Marshal(statuses[key])
		w.out = append(w.out, StatusDocument{Object: ref.String(), Status: bytes.ReplaceAll(text, noTime, nil)})
	}
}
