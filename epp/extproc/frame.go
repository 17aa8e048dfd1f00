package extproc

import (
	"errors"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// part is which part of the HTTP exchange a message carries; the values are the field numbers of ProcessingRequest.
type part protowire.Number

const (
	partNone             part = 0
	partRequestHeaders   part = 2
	partResponseHeaders  part = 3
	partRequestBody      part = 4
	partResponseBody     part = 5
	partRequestTrailers  part = 6
	partResponseTrailers part = 7
)

// attributesNamespace is the filter name under which Envoy sends request attributes.
const attributesNamespace = "envoy.filters.http.ext_proc"

// frame is one ProcessingRequest, read in place: its slices point into the received message and end with free. Of a field
// that may occur once, the last occurrence counts.
type frame struct {
	part        part
	endOfStream bool
	// body is the chunk of a body part.
	body []byte
	// bodyStart is where body begins in message.
	bodyStart int
	// headers is the encoded HeaderMap of a header or trailer part.
	headers []byte
	// metadata is the encoded envoy.config.core.v3.Metadata that came along.
	metadata []byte
	// attributes is the encoded Struct of request attributes that came along.
	attributes []byte

	message mem.Buffer
}

var errMalformed = errors.New("malformed ProcessingRequest")

// free gives the message's memory back.
func (f *frame) free() {
	if f.message != nil {
		f.message.Free()
	}
	*f = frame{}
}

// bodyRef returns body[start:end] as a buffer that outlives free.
func (f *frame) bodyRef(start, end int) mem.Buffer {
	return f.message.Slice(f.bodyStart+start, f.bodyStart+end)
}

// read fills the frame from the message it holds.
func (f *frame) read() error {
	message := f.message.ReadOnlyData()
	whole := len(message)
	return eachField(message, func(number protowire.Number, value []byte, rest int) error {
		switch number {
		case 2, 3, 5, 7, 4, 6:
			*f = frame{message: f.message, metadata: f.metadata, attributes: f.attributes, part: part(number)}
			return f.readPart(value, whole-rest-len(value))
		case 8:
			f.metadata = value
		case 9:
			if key, entry := mapEntry(value); string(key) == attributesNamespace {
				f.attributes = entry
			}
		}
		return nil
	})
}

// readPart reads HttpHeaders, HttpBody or HttpTrailers, which begins at offset start of the message.
func (f *frame) readPart(value []byte, start int) error {
	whole := len(value)
	end := endOfStreamField(f.part)
	for rest := value; len(rest) > 0; {
		number, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return errMalformed
		}
		rest = rest[n:]
		switch {
		case number == 1 && typ == protowire.BytesType:
			content, n := protowire.ConsumeBytes(rest)
			if n < 0 {
				return errMalformed
			}
			rest = rest[n:]
			if f.part == partRequestBody || f.part == partResponseBody {
				f.body = content
				f.bodyStart = start + whole - len(rest) - len(content)
			} else {
				f.headers = content
			}
		case number == end && typ == protowire.VarintType:
			flag, n := protowire.ConsumeVarint(rest)
			if n < 0 {
				return errMalformed
			}
			rest = rest[n:]
			f.endOfStream = flag != 0
		default:
			n := protowire.ConsumeFieldValue(number, typ, rest)
			if n < 0 {
				return errMalformed
			}
			rest = rest[n:]
		}
	}
	return nil
}

// endOfStreamField is the number of end_of_stream in the message of a part; trailers have none.
func endOfStreamField(p part) protowire.Number {
	switch p {
	case partRequestHeaders, partResponseHeaders:
		return 3
	case partRequestBody, partResponseBody:
		return 2
	}
	return -1
}

// eachField calls visit with each length-delimited field of an encoded message; rest is the number of bytes after it.
func eachField(message []byte, visit func(number protowire.Number, value []byte, rest int) error) error {
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMalformed
		}
		message = message[n:]
		if typ != protowire.BytesType {
			n := protowire.ConsumeFieldValue(number, typ, message)
			if n < 0 {
				return errMalformed
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return errMalformed
		}
		message = message[n:]
		if err := visit(number, value, len(message)); err != nil {
			return err
		}
	}
	return nil
}

// mapEntry splits an encoded map entry into key and value.
func mapEntry(entry []byte) (key, value []byte) {
	_ = eachField(entry, func(number protowire.Number, field []byte, _ int) error {
		switch number {
		case 1:
			key = field
		case 2:
			value = field
		}
		return nil
	})
	return key, value
}
