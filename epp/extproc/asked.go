package extproc

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Metadata names shared with proxies.
const (
	lbNamespace     = "envoy.lb"
	destinationKey  = "x-gateway-destination-endpoint"
	scoresKey       = "x-gateway-destination-endpoint-scores"
	servedKey       = "x-gateway-destination-endpoint-served"
	subsetNamespace = "envoy.lb.subset_hint"
	subsetKey       = "x-gateway-destination-endpoint-subset"
	// usageNamespace is where the proxy's own token counting leaves envoy.data.ai.v3.TokenUsage.
	usageNamespace = "envoy.ai.token_usage"
	// ownNamespace is of what the picker tells proxies of ours.
	ownNamespace = "switchyard"
)

// assumedPath is that of a request whose headers tell none.
const assumedPath = "/v1/completions"

// ifAvailable is the preference of a client that wants its request served from the cache or not at all.
const ifAvailable = "if-available"

// named is the values of a header that has a current name and an older one; the current one wins.
type named struct{ current, older []byte }

func (n named) value() []byte {
	if len(n.current) > 0 {
		return n.current
	}
	return n.older
}

// headerReader picks out what the picker reads of request headers, in one pass over them.
type headerReader struct {
	objective, fairness, rewrite, ttft, tpot named
	path, originalPath, forwardedPath        []byte
	length, id, prefer                       []byte
	video                                    videoHints
}

// videoHints is what a client says of the videos in its request.
type videoHints struct{ seconds, fps, resolution []byte }

// tokens is what each video counts as, 0 when nothing is said.
func (v *videoHints) tokens() int {
	if len(v.seconds)+len(v.fps)+len(v.resolution) == 0 {
		return 0
	}
	return body.VideoTokens(v.seconds, v.fps, v.resolution)
}

func (r *headerReader) read(name, value []byte) {
	switch string(name) {
	case ":path":
		r.path = value
	case "x-original-path":
		r.originalPath = value
	case "x-forwarded-path":
		r.forwardedPath = value
	case "content-length":
		r.length = value
	case "x-request-id":
		r.id = value
	case "prefer":
		r.prefer = value
	case "x-llm-d-inference-objective":
		r.objective.current = value
	case "x-gateway-inference-objective":
		r.objective.older = value
	case "x-llm-d-inference-fairness-id":
		r.fairness.current = value
	case "x-gateway-inference-fairness-id":
		r.fairness.older = value
	case "x-llm-d-model-name-rewrite":
		r.rewrite.current = value
	case "x-gateway-model-name-rewrite":
		r.rewrite.older = value
	case "x-llm-d-slo-ttft-ms":
		r.ttft.current = value
	case "x-slo-ttft-ms":
		r.ttft.older = value
	case "x-llm-d-slo-tpot-ms":
		r.tpot.current = value
	case "x-slo-tpot-ms":
		r.tpot.older = value
	case "x-llm-d-video-duration-seconds":
		r.video.seconds = value
	case "x-llm-d-video-fps":
		r.video.fps = value
	case "x-llm-d-video-resolution":
		r.video.resolution = value
	}
}

// askedByHeaders is what the request headers tell; wanted are the headers that plugins read. It owns what it holds.
func askedByHeaders(f *frame, wanted []string) director.Request {
	var read headerReader
	asked := director.Request{PathSent: true, Path: assumedPath}
	headerSet(f.headers).each(func(name, value []byte) {
		read.read(name, value)
		for _, want := range wanted {
			if want == string(name) {
				asked.Headers = append(asked.Headers, scheduling.Header{Name: want, Value: string(value)})
			}
		}
	})
	for _, path := range [...][]byte{read.path, read.originalPath, read.forwardedPath} {
		if len(path) > 0 {
			asked.Path = string(path)
			break
		}
	}
	asked.ContentLength = parseLength(read.length)
	asked.ID = string(read.id)
	asked.Objective, asked.Fairness, asked.RewriteTo = string(read.objective.value()), string(read.fairness.value()), string(read.rewrite.value())
	asked.TTFT, asked.TPOT = parseMilliseconds(read.ttft.value()), parseMilliseconds(read.tpot.value())
	asked.VideoTokens = read.video.tokens()
	asked.IfAvailable = string(bytes.TrimSpace(read.prefer)) == ifAvailable
	restrict(&asked, f.metadata)
	return asked
}

// restrict takes over the subset of endpoints that the proxy allows, if it tells one: a list of strings or one string with commas.
func restrict(asked *director.Request, metadata []byte) {
	value := subsetOf(metadata)
	if value == nil {
		return
	}
	asked.Restricted, asked.Subset = true, nil
	take := func(text []byte) {
		for item := range strings.SplitSeq(string(text), ",") {
			asked.Subset = append(asked.Subset, strings.TrimSpace(item))
		}
	}
	if !valueTexts(value, take) {
		take(valueText(value))
	}
}

// subsetOf is the encoded Value that restricts the endpoints, nil when there is none.
func subsetOf(metadata []byte) []byte {
	return metadataSet(metadata).namespace(subsetNamespace).value(subsetKey)
}

func parseLength(text []byte) int {
	length, err := strconv.Atoi(string(text))
	if err != nil || length < 0 {
		return 0
	}
	return length
}

// parseMilliseconds reads a positive number of milliseconds; anything else is none.
func parseMilliseconds(text []byte) time.Duration {
	if len(text) == 0 {
		return 0
	}
	const most = float64(24 * time.Hour / time.Millisecond)
	number, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	if err != nil || !(number > 0) || number > most {
		return 0
	}
	return time.Duration(number * float64(time.Millisecond))
}

// readServed takes over the endpoint that the proxy says it used.
func readServed(x *director.Exchange, f *frame) {
	switch f.part {
	case partResponseHeaders, partResponseBody, partResponseTrailers:
		if served := servedEndpoint(f); served != "" {
			x.Served(served)
		}
	}
}

// servedEndpoint is the endpoint that the proxy says it used, empty when it does not say.
func servedEndpoint(f *frame) string {
	return string(metadataSet(f.metadata).namespace(lbNamespace).text(servedKey))
}

// readResponseHeaders notes whether the model server answered well, whether it answers piece by piece, and whether the answer
// can be read at all.
func readResponseHeaders(x *director.Exchange, f *frame) {
	headerSet(f.headers).each(func(name, value []byte) {
		switch string(name) {
		case ":status":
			if string(value) != "200" {
				x.Failed = true
			}
		case "content-type":
			x.Streamed = x.Streamed || bytes.Contains(value, []byte("text/event-stream"))
		case "content-encoding":
			if encoding := string(value); encoding != "" && encoding != "identity" {
				x.Rename = nil // of compressed bytes nothing can be replaced
			}
		}
	})
	x.Complete = x.Complete || f.endOfStream
}
