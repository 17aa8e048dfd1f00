package datalayer

import (
	"bytes"
	"math"
	"strconv"
)

// number is a value that a page is read for.
type number uint8

const (
	numWaiting number = iota
	numRunning
	numKVUsage
	numBlockSize
	numBlocks
	numCacheInfo
	numLoRA
	numbers = iota
)

// page is what was found on a metrics page. Its byte slices point into the page.
type page struct {
	sums [numbers]float64
	most [numbers]float64
	seen [numbers]int // series found
	lora struct {
		value            float64
		running, waiting []byte
		limit            int
	}
	custom      []found  // in the order of the engine's Custom; its memory is used again
	customNames []string // of the above; those of the reader
}

// found is what the series of a custom number add up to.
type found struct {
	sum  float64
	seen int
}

// start empties the page for a reader.
func (p *page) start(r *reader) {
	custom := p.custom[:0]
	for range r.customNames {
		custom = append(custom, found{})
	}
	*p = page{custom: custom, customNames: r.customNames}
}

func (p *page) add(n number, value float64) {
	if n >= numbers {
		p.custom[n-numbers].sum += value
		p.custom[n-numbers].seen++
		return
	}
	p.sums[n] += value
	p.most[n] = max(p.most[n], value)
	p.seen[n]++
}

// known tells which numbers the page has.
func (p *page) known() (known Fields) {
	for _, f := range []struct {
		n     number
		field Fields
	}{{numWaiting, HasWaiting}, {numRunning, HasRunning}, {numKVUsage, HasKVUsage}, {numLoRA, HasLoRA}} {
		if p.seen[f.n] > 0 {
			known |= f.field
		}
	}
	if p.most[numBlockSize] >= 1 && p.sums[numBlocks] >= 1 {
		known |= HasCacheInfo
	}
	return known
}

// empty tells that nothing was found.
func (p *page) empty() bool {
	for i := range p.custom {
		if p.custom[i].seen > 0 {
			return false
		}
	}
	return p.known() == 0
}

// reader reads the pages of one engine, in the Prometheus text format.
type reader struct {
	engine      *Engine
	wanted      []wanted
	customNames []string
}

type wanted struct {
	name   string
	labels []Label
	empty  int // how many of them have no value
	number number
}

func want(s Series, n number) wanted {
	w := wanted{name: s.Name, labels: s.Labels, number: n}
	for _, l := range s.Labels {
		if l.Value == "" {
			w.empty++
		}
	}
	return w
}

func newReader(e *Engine) *reader {
	r := &reader{engine: e}
	for _, w := range []struct {
		n number
		s Series
	}{
		{numWaiting, e.Waiting}, {numRunning, e.Running}, {numKVUsage, e.KVUsage}, {numBlockSize, e.BlockSize},
		{numBlocks, e.NumBlocks}, {numCacheInfo, e.CacheInfo}, {numLoRA, e.LoRA},
	} {
		if w.s.Name != "" {
			r.wanted = append(r.wanted, want(w.s, w.n))
		}
	}
	for i, c := range e.Custom[:min(len(e.Custom), MaxCustom)] {
		r.customNames = append(r.customNames, c.Name)
		r.wanted = append(r.wanted, want(c.Series, numbers+number(i)))
	}
	return r
}

// read looks through a page for the wanted series. It allocates nothing and looks only at the beginning of lines that
// are not wanted; a line that is malformed counts as not there.
func (r *reader) read(text []byte, p *page) {
	p.start(r)
	for len(text) > 0 {
		line := text
		if end := bytes.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = nil
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			line = bytes.TrimLeft(line, " \t")
		}
		for i := range r.wanted {
			w := &r.wanted[i]
			n := len(w.name)
			if len(line) > n && endsName[line[n]] && string(line[:n]) == w.name {
				r.readLine(line[n:], w, p)
			}
		}
	}
}

var endsName = [256]bool{'{': true, ' ': true, '\t': true}

// readLine reads what follows the name of a wanted series.
func (r *reader) readLine(line []byte, w *wanted, p *page) {
	set := labels{rest: line}
	matched := w.empty
	var blockSize, blocks, running, waiting, limit []byte
	for set.next() {
		for _, l := range w.labels {
			if string(set.name) != l.Name {
				continue
			}
			if l.Value == "" && len(set.value) > 0 {
				matched--
			} else if l.Value != "" && string(set.value) == l.Value {
				matched++
			}
		}
		switch w.number {
		case numCacheInfo:
			pick(&blockSize, &set, r.engine.BlockSizeLabel)
			pick(&blocks, &set, r.engine.NumBlocksLabel)
		case numLoRA:
			pick(&running, &set, r.engine.LoRARunningLabel)
			pick(&waiting, &set, r.engine.LoRAWaitingLabel)
			pick(&limit, &set, r.engine.LoRAMaxLabel)
		}
	}
	value, ok := sampleValue(set.rest)
	if set.bad || !ok || matched != len(w.labels) {
		return
	}
	p.add(w.number, value)
	switch w.number {
	case numCacheInfo:
		p.add(numBlockSize, float64(digits(blockSize)))
		p.add(numBlocks, float64(digits(blocks)))
	case numLoRA:
		if p.seen[numLoRA] == 1 || value > p.lora.value {
			p.lora.value, p.lora.running, p.lora.waiting, p.lora.limit = value, running, waiting, digits(limit)
		}
	}
}

func pick(dst *[]byte, set *labels, name string) {
	if string(set.name) == name {
		*dst = set.value
	}
}

// labels walks over the labels of a line. rest stands behind them in the end.
type labels struct {
	rest        []byte
	name, value []byte // value as it stands between its quotes
	inside, bad bool
}

func (l *labels) next() bool {
	rest := bytes.TrimLeft(l.rest, " \t")
	if !l.inside {
		if len(rest) == 0 || rest[0] != '{' {
			return false // no labels
		}
		l.inside = true
		rest = bytes.TrimLeft(rest[1:], " \t")
	} else if len(rest) > 0 && rest[0] == ',' {
		rest = bytes.TrimLeft(rest[1:], " \t")
	} else if len(rest) == 0 || rest[0] != '}' {
		return l.fail()
	}
	if len(rest) > 0 && rest[0] == '}' {
		l.rest = rest[1:]
		return false
	}
	eq := bytes.IndexByte(rest, '=')
	if eq < 0 {
		return l.fail()
	}
	l.name = bytes.TrimRight(rest[:eq], " \t")
	rest = bytes.TrimLeft(rest[eq+1:], " \t")
	if len(rest) == 0 || rest[0] != '"' {
		return l.fail()
	}
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return l.fail()
	}
	l.value, l.rest = rest[1:end], rest[end+1:]
	return true
}

func (l *labels) fail() bool {
	l.bad, l.rest = true, nil
	return false
}

// sampleValue reads the value of a line; a timestamp may follow. NaN is no value.
func sampleValue(rest []byte) (float64, bool) {
	rest = bytes.TrimLeft(rest, " \t")
	end := 0
	for end < len(rest) && rest[end] != ' ' && rest[end] != '\t' && rest[end] != '\r' {
		if c := rest[end] | 0x20; c == 'p' || rest[end] == '_' {
			return 0, false // Go's own number syntax, not the format's
		}
		end++
	}
	f, err := strconv.ParseFloat(string(rest[:end]), 64)
	if err != nil || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// digits reads a label value as a count; what is none is 0.
func digits(b []byte) (n int) {
	if len(b) > 9 {
		return 0
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
