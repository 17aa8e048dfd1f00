package file

import (
	"io/fs"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/internal/source"
)

// manifest is one version of one file.
type manifest struct {
	path      string
	info      fs.FileInfo // when it was read; nil for text from memory
	hash      xxh3.Uint128
	documents []document
	// failure is set when the file could not be read at all; documents are then those of before.
	failure *source.Problem
}

// document is one document of a file: where it is, and what is in it. The content is shared by all
// versions of the file that hold the same text.
type document struct {
	index   int // 1-based
	line    int // 1-based line of its first byte
	content *content
	// held are objects that the file had before and that are kept because this document cannot be read:
	// one of them may be in here.
	held []source.Ref
}

type content struct {
	hash    xxh3.Uint128
	items   []*item
	failure *source.Problem // something here could not be identified; lines count from the document's start
	unsure  bool            // the items may not be all that was meant: there is a failure, or a key twice
}

// parseManifest reads the text of a file. What did not change since the version before is taken from there.
func parseManifest(path string, data []byte, before *manifest) *manifest {
	m := &manifest{path: path, hash: xxh3.Hash128(data)}
	known := map[xxh3.Uint128]document{}
	if before != nil {
		for _, d := range before.documents {
			known[d.content.hash] = d
		}
	}
	asJSON := isJSON(path)
	for i, c := range splitDocuments(path, data) {
		d := document{index: i + 1, line: c.line}
		hash := xxh3.Hash128(c.text)
		if old, ok := known[hash]; ok {
			d.content, d.held = old.content, old.held
		} else {
			d.content = parseContent(c, hash, asJSON)
		}
		m.documents = append(m.documents, d)
	}
	if before != nil {
		m.hold(before, known)
	}
	return m
}

// emptied is the version of a file that has become zero bytes long: what a writer leaves for a moment that
// truncates first. Nothing is taken away for that.
func emptied(path string, hash xxh3.Uint128, before *manifest) *manifest {
	return failed(path, hash, before, source.Problem{
		File:    path,
		Message: "the file is empty, its objects stay as they were",
		Fix:     "write the objects again, or delete the file to remove them",
	})
}

// failed is the version of a file that cannot be read: it keeps what was known.
func failed(path string, hash xxh3.Uint128, before *manifest, why source.Problem) *manifest {
	m := &manifest{path: path, hash: hash, failure: &why}
	if before != nil {
		m.documents = before.documents
	}
	return m
}

func parseContent(c chunk, hash xxh3.Uint128, asJSON bool) *content {
	value, duplicates, err := parseChunk(c, asJSON)
	if err != nil {
		return &content{hash: hash, failure: syntaxProblem(err), unsure: true}
	}
	if value == nil {
		return &content{hash: hash} // only "null" or comments
	}
	items, failure := decodeItems(value, duplicates, &locator{text: c.text})
	return &content{hash: hash, items: items, failure: failure, unsure: failure != nil || len(duplicates) > 0}
}

func syntaxProblem(err error) *source.Problem {
	p := &source.Problem{Message: err.Error(), Fix: "mend the syntax; until then the objects of this document stay as they were"}
	if at, ok := err.(*syntaxError); ok {
		p.Line = at.line
	}
	return p
}

// hold lets each newly unreadable document keep the objects that have gone missing. One that was
// unreadable before keeps what it kept, so that deleting a good document beside it still counts.
func (m *manifest) hold(before *manifest, known map[xxh3.Uint128]document) {
	present := map[source.Ref]bool{}
	for _, r := range m.refs() {
		present[r] = true
	}
	var missing []source.Ref
	isMissing := map[source.Ref]bool{}
	for _, r := range append(before.refs(), before.heldRefs()...) {
		if !present[r] && !isMissing[r] {
			isMissing[r] = true
			missing = append(missing, r)
		}
	}
	for i := range m.documents {
		d := &m.documents[i]
		if _, old := known[d.content.hash]; old {
			d.held = slices.DeleteFunc(slices.Clone(d.held), func(r source.Ref) bool { return !isMissing[r] })
		} else if d.content.unsure {
			d.held = missing
		}
	}
}

// refs lists the objects that the file names, good or broken.
func (m *manifest) refs() []source.Ref {
	var out []source.Ref
	for _, d := range m.documents {
		for _, it := range d.content.items {
			if it.kind != nil {
				out = append(out, it.ref)
			}
		}
	}
	return out
}

func (m *manifest) heldRefs() []source.Ref {
	var out []source.Ref
	for _, d := range m.documents {
		out = append(out, d.held...)
	}
	return out
}
