package extproc

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// usageNamespace is where the proxy's own token counting leaves envoy.data.ai.v3.TokenUsage.
const usageNamespace = "envoy.ai.token_usage"

// usage is the tokens of a request; a negative number is not known.
type usage struct {
	input, output, cached int64
}

var noUsage = usage{-1, -1, -1}

// merge takes over the numbers that other knows.
func (u *usage) merge(other usage) {
	if other.input >= 0 {
		u.input = other.input
	}
	if other.output >= 0 {
		u.output = other.output
	}
	if other.cached >= 0 {
		u.cached = other.cached
	}
}

// usageFromProxy reads an encoded TokenUsage.
func usageFromProxy(message []byte) usage {
	found := noUsage
	_ = eachField(message, func(number protowire.Number, value []byte, _ int) error {
		switch number {
		case 3:
			found.input = wrappedNumber(value)
		case 4:
			found.output = wrappedNumber(value)
		case 6: // InputTokenDetails
			return eachField(value, func(number protowire.Number, detail []byte, _ int) error {
				if number == 1 {
					found.cached = wrappedNumber(detail)
				}
				return nil
			})
		}
		return nil
	})
	return found
}

// wrappedNumber reads an encoded UInt64Value; 0 is encoded as nothing.
func wrappedNumber(wrapper []byte) int64 {
	number := int64(0)
	for len(wrapper) > 0 {
		field, typ, n := protowire.ConsumeTag(wrapper)
		if n < 0 {
			return -1
		}
		wrapper = wrapper[n:]
		if field == 1 && typ == protowire.VarintType {
			value, n := protowire.ConsumeVarint(wrapper)
			if n < 0 {
				return -1
			}
			number = int64(value)
			wrapper = wrapper[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(field, typ, wrapper); n < 0 {
			return -1
		}
		wrapper = wrapper[n:]
	}
	return number
}
