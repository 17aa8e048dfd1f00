package extproc

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// Metadata names shared with proxies.
const (
	lbNamespace     = "envoy.lb"
	destinationKey  = "x-gateway-destination-endpoint"
	servedKey       = "x-gateway-destination-endpoint-served"
	subsetNamespace = "envoy.lb.subset_hint"
	subsetKey       = "x-gateway-destination-endpoint-subset"
)

// askedByHeaders is what the request headers tell; wanted are the headers that plugins read. It owns what it holds.
func askedByHeaders(f *frame, wanted []string) asked {
	headers := headerSet(f.headers)
	ask := asked{
		headers:       headers.named(wanted),
		fairness:      string(firstOf(headers, "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")),
		contentLength: parseLength(headers.get("content-length")),
		pathSent:      true,
		path:          "/v1/completions",
		subset:        slices.Clone(subsetOf(f.metadata)),
	}
	if path := firstOf(headers, ":path", "x-original-path", "x-forwarded-path"); len(path) > 0 {
		ask.path = string(path)
	}
	return ask
}

// named copies the headers of these names that are there.
func (h headerSet) named(names []string) scheduling.Headers {
	var found scheduling.Headers
	for _, name := range names {
		if value := h.get(name); value != nil {
			found = append(found, scheduling.Header{Name: name, Value: string(value)})
		}
	}
	return found
}

func firstOf(headers headerSet, names ...string) []byte {
	for _, name := range names {
		if value := headers.get(name); len(value) > 0 {
			return value
		}
	}
	return nil
}

// subsetOf is the encoded Value that restricts the endpoints, nil when there is none.
func subsetOf(metadata []byte) []byte {
	return metadataSet(metadata).namespace(subsetNamespace).value(subsetKey)
}

// readServed takes over the endpoint that the proxy says it used.
func (x *exchange) readServed(f *frame) {
	switch f.part {
	case partResponseHeaders, partResponseBody, partResponseTrailers:
		if served := servedEndpoint(f); served != "" {
			x.served(served)
		}
	}
}

// servedEndpoint is the endpoint that the proxy says it used, empty when it does not say.
func servedEndpoint(f *frame) string {
	return string(metadataSet(f.metadata).namespace(lbNamespace).text(servedKey))
}

// readResponseHeaders notes whether the model server answered well, and whether its answer shows that the prompt is worked
// through: it does when it is streamed.
func (x *exchange) readResponseHeaders(headers headerSet, streamAsked bool) (streamed bool) {
	if code, err := strconv.Atoi(string(headers.get(":status"))); err == nil && code != 200 {
		x.failed = true
	}
	contentType := headers.get("content-type")
	streamed = streamAsked || bytes.Contains(contentType, []byte("text/event-stream"))
	if streamed {
		x.answering()
	}
	return streamed
}
