package usage

import "google.golang.org/protobuf/encoding/protowire"

// Fields of envoy.data.ai.v3.TokenUsage, of its InputTokenDetails, and of a UInt64Value.
const (
	proxyInput        = 3
	proxyOutput       = 4
	proxyInputDetails = 6
	detailsCached     = 1
	wrapped           = 1
)

// FromProxy reads an encoded envoy.data.ai.v3.TokenUsage. Of one that is broken the fields before the break count.
func FromProxy(message []byte) Tokens {
	found := Unknown
	eachMessage(message, func(number protowire.Number, value []byte) {
		switch number {
		case proxyInput:
			found.Input = wrappedNumber(value)
		case proxyOutput:
			found.Output = wrappedNumber(value)
		case proxyInputDetails:
			eachMessage(value, func(number protowire.Number, value []byte) {
				if number == detailsCached {
					found.Cached = wrappedNumber(value)
				}
			})
		}
	})
	return found
}

// eachMessage calls do for each field of a message that has a length.
func eachMessage(message []byte, do func(number protowire.Number, value []byte)) {
	for len(message) > 0 {
		number, wire, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, wire, message); n < 0 {
			return
		}
		if wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			do(number, value)
		}
		message = message[n:]
	}
}

// wrappedNumber reads an encoded UInt64Value; 0 is encoded as nothing.
func wrappedNumber(wrapper []byte) int64 {
	number := uint64(0)
	for len(wrapper) > 0 {
		field, wire, n := protowire.ConsumeTag(wrapper)
		if n < 0 {
			return -1
		}
		wrapper = wrapper[n:]
		if n = protowire.ConsumeFieldValue(field, wire, wrapper); n < 0 {
			return -1
		}
		if field == wrapped && wire == protowire.VarintType {
			number, _ = protowire.ConsumeVarint(wrapper)
		}
		wrapper = wrapper[n:]
	}
	return bounded(number)
}

// maxTokens is more than any request can cost; a larger number is nonsense and would spoil sums.
const maxTokens = 1 << 40

// bounded is a number that may be believed, or -1.
func bounded(number uint64) int64 {
	if number > maxTokens {
		return -1
	}
	return int64(number)
}
