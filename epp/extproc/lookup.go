package extproc

import "google.golang.org/protobuf/encoding/protowire"

// headerSet is an encoded envoy.config.core.v3.HeaderMap.
type headerSet []byte

// each calls visit with every header, in the order in which they came. Names are lower case on the wire; the raw value wins over
// the string value.
func (h headerSet) each(visit func(name, value []byte)) {
	_ = eachField(h, func(number protowire.Number, header []byte, _ int) error {
		if number != 1 {
			return nil
		}
		var key, value, raw []byte
		_ = eachField(header, func(number protowire.Number, field []byte, _ int) error {
			switch number {
			case 1:
				key = field
			case 2:
				value = field
			case 3:
				raw = field
			}
			return nil
		})
		if len(raw) > 0 {
			value = raw
		}
		visit(key, value)
		return nil
	})
}

// get returns the last value of a header, nil when it is not there.
func (h headerSet) get(name string) []byte {
	var found []byte
	h.each(func(key, value []byte) {
		if string(key) == name {
			found = value
		}
	})
	return found
}

// structSet is an encoded google.protobuf.Struct.
type structSet []byte

// value returns the encoded Value of a field, nil when it is not there.
func (s structSet) value(name string) []byte {
	var found []byte
	_ = eachField(s, func(number protowire.Number, entry []byte, _ int) error {
		if number == 1 {
			if key, value := mapEntry(entry); string(key) == name {
				found = value
			}
		}
		return nil
	})
	return found
}

// text returns the string in a field, nil when there is none.
func (s structSet) text(name string) []byte {
	return valueText(s.value(name))
}

// valueText returns the string of an encoded google.protobuf.Value.
func valueText(value []byte) []byte {
	var found []byte
	_ = eachField(value, func(number protowire.Number, field []byte, _ int) error {
		if number == 3 {
			found = field
		}
		return nil
	})
	return found
}

// valueTexts calls visit with each string of an encoded Value that is a list, and tells whether it was one.
func valueTexts(value []byte, visit func([]byte)) bool {
	isList := false
	_ = eachField(value, func(number protowire.Number, list []byte, _ int) error {
		if number != 6 {
			return nil
		}
		isList = true
		return eachField(list, func(number protowire.Number, item []byte, _ int) error {
			if number == 1 {
				visit(valueText(item))
			}
			return nil
		})
	})
	return isList
}

// metadataSet is an encoded envoy.config.core.v3.Metadata.
type metadataSet []byte

// namespace returns the Struct of a filter metadata namespace.
func (m metadataSet) namespace(name string) structSet { return structSet(m.entry(1, name)) }

// typed returns the content of the Any in a typed filter metadata namespace, whatever its type.
func (m metadataSet) typed(name string) []byte {
	_, content := mapEntry(m.entry(2, name))
	return content
}

func (m metadataSet) entry(field protowire.Number, name string) []byte {
	var found []byte
	_ = eachField(m, func(number protowire.Number, entry []byte, _ int) error {
		if number == field {
			if key, value := mapEntry(entry); string(key) == name {
				found = value
			}
		}
		return nil
	})
	return found
}
