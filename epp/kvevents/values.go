package kvevents

import "encoding/binary"

func kindOf(name []byte) Kind {
	switch string(name) {
	case "BlockStored":
		return Stored
	case "BlockRemoved":
		return Removed
	case "AllBlocksCleared":
		return Cleared
	}
	return foreign
}

// common are the values that events repeat.
var common = map[string]string{}

func init() {
	for _, text := range []string{"GPU", "gpu", "CPU", "cpu", "STORAGE", "full_attention", "mla_attention", "sink_full_attention",
		"sliding_window", "sliding_window_mla", "chunked_local_attention", "mamba"} {
		common[text] = text
	}
}

// intern is the text as a string, without new memory for those that events repeat.
func intern(text []byte) string {
	if known, ok := common[string(text)]; ok {
		return known
	}
	return string(text)
}

func (e *Event) hashes(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		h, err := hash(r)
		if err != nil {
			return err
		}
		e.Hashes = append(e.Hashes, h)
	}
	return nil
}

// hash reads a block hash: an integer, or bytes of which the last 8 count.
func hash(r *reader) (uint64, error) {
	if r.isInteger() {
		return r.integer()
	}
	raw, err := r.text()
	if err != nil {
		return 0, err
	}
	var last [8]byte
	copy(last[max(0, 8-len(raw)):], raw[max(0, len(raw)-8):])
	return binary.BigEndian.Uint64(last[:]), nil
}

func (e *Event) tokens(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		token, err := r.integer()
		if err != nil {
			return err
		}
		e.Tokens = append(e.Tokens, uint32(token))
	}
	return nil
}

// extra reads what went into the hashes besides tokens: for each block nothing, or a list. Of nested lists the texts count.
func (e *Event) extra(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		var texts []string
		if !r.null() {
			if texts, err = collect(r, nil, 0); err != nil {
				return err
			}
		}
		e.Extra = append(e.Extra, texts)
	}
	return nil
}

// collect gathers the texts of a value.
func collect(r *reader, into []string, depth int) ([]string, error) {
	switch {
	case r.isText():
		text, err := r.text()
		return append(into, string(text)), err
	case r.isArray() && depth < 4:
		n, err := r.array()
		for i := 0; i < n && err == nil; i++ {
			into, err = collect(r, into, depth+1)
		}
		return into, err
	}
	return into, r.skip()
}
