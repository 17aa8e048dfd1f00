package kvevents_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/tokens"
)

// recorded reads what a real engine published, a message a line: its frames. The engine had 160 blocks of 32 tokens. Asked for:
// its cache cleared; the first five prompts of ../tokens/testdata in order; the other two, which store nothing new; three
// prompts of 50 blocks; its cache cleared; a short prompt.
func recorded(t *testing.T, path string) (messages [][][]byte) {
	t.Helper()
	lines(t, path, func(line []byte) error {
		var frames [][]byte
		defer func() { messages = append(messages, frames) }()
		return json.Unmarshal(line, &frames)
	})
	return messages
}

func lines(t *testing.T, path string, each func(line []byte) error) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewScanner(file)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if err := each(in.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if in.Err() != nil {
		t.Fatal(in.Err())
	}
}

// rendered are prompts by name, as the same engine's render endpoints gave their tokens.
func rendered(t *testing.T) map[string][]uint32 {
	t.Helper()
	prompts := map[string][]uint32{}
	lines(t, "../tokens/testdata/vllm-0.32.0.jsonl", func(line []byte) error {
		type answer struct {
			IDs []uint32 `json:"token_ids"`
		}
		var prompt struct {
			Name   string
			Answer json.RawMessage
		}
		if err := json.Unmarshal(line, &prompt); err != nil {
			return err
		}
		list := make([]answer, 1)
		if prompt.Answer[0] == '[' {
			err := json.Unmarshal(prompt.Answer, &list)
			prompts[prompt.Name] = list[0].IDs
			return err
		}
		err := json.Unmarshal(prompt.Answer, &list[0])
		prompts[prompt.Name] = list[0].IDs
		return err
	})
	return prompts
}

func TestDecodeRecordedMessages(t *testing.T) {
	messages := recorded(t, "testdata/vllm-0.32.0.jsonl")
	if len(messages) != 13 {
		t.Fatalf("%d messages", len(messages))
	}
	var b kvevents.Batch
	first := binary.BigEndian.Uint64(messages[0][1])
	for i, frames := range messages {
		if string(frames[0]) != "kv@10.77.1.2:8000@tiny" || binary.BigEndian.Uint64(frames[1]) != first+uint64(i) {
			t.Errorf("message %d: topic %q, number %x", i, frames[0], frames[1])
		}
		if err := b.Decode(frames[2]); err != nil || b.Rank != 0 || b.Unreadable != 0 {
			t.Errorf("message %d: error %v, rank %d, %d unreadable", i, err, b.Rank, b.Unreadable)
		}
		for _, e := range b.Events {
			switch {
			case e.Kind == kvevents.Cleared:
			case e.Medium != "GPU" || e.Group != 0 || len(e.Hashes) == 0:
				t.Errorf("message %d: %+v", i, e)
			case e.Kind == kvevents.Stored && (e.BlockSize != 32 || len(e.Tokens) != 32*len(e.Hashes) || len(e.Extra) != len(e.Hashes) ||
				e.Spec != "full_attention" || e.Window != 0):
				t.Errorf("message %d: %+v", i, e)
			}
		}
		switch i {
		case 0:
			if len(b.Events) != 2 || b.Events[0].Kind != kvevents.Cleared || b.Events[1].HasParent {
				t.Errorf("first %+v", b.Events)
			}
		case 1:
			if !b.Events[0].HasParent || b.Events[0].LoRA != "" || b.Events[0].Extra[0] != nil {
				t.Errorf("further blocks %+v", b.Events)
			}
		case 2:
			if extra := b.Events[0].Extra; !slices.Equal(extra[0], []string{"s1"}) || extra[1] != nil {
				t.Errorf("salted %q", extra)
			}
		case 3:
			if e := b.Events[0]; e.LoRA != "sql" || !slices.Equal(e.Extra[2], []string{"sql"}) {
				t.Errorf("of an adapter %q %q", e.LoRA, e.Extra)
			}
		case 9:
			if n := len(b.Events); n != 11 || b.Events[0].Kind != kvevents.Removed || b.Events[n-1].Kind != kvevents.Stored {
				t.Errorf("blocks for others: %d events", n)
			}
		}
	}
}

// TestDecodeSGLang reads a message that the event types of SGLang were encoded to.
func TestDecodeSGLang(t *testing.T) {
	payload, err := os.ReadFile("testdata/sglang-0.5.23.msgpack")
	if err != nil {
		t.Fatal(err)
	}
	want := []kvevents.Event{
		{Kind: kvevents.Stored, Hashes: []uint64{10805852496753538807, 1234567890123}, Tokens: []uint32{5, 6, 70000, 8}, BlockSize: 2, Medium: "GPU",
			Extra: [][]string{{"s1"}, nil}, Group: -1},
		{Kind: kvevents.Stored, Hashes: []uint64{42}, Parent: 1234567890123, HasParent: true, Tokens: []uint32{9, 10}, BlockSize: 2,
			Medium: "CPU_PINNED", LoRA: "sql", Group: -1},
		{Kind: kvevents.Removed, Hashes: []uint64{10805852496753538807}, Medium: "GPU", Group: -1},
		{Kind: kvevents.Cleared, Group: -1},
	}
	var b kvevents.Batch
	for range 2 { // what is left of the first time must not show
		if err := b.Decode(payload); err != nil || b.Rank != 1 || b.Unreadable != 0 {
			t.Fatalf("error %v, rank %d, %d unreadable", err, b.Rank, b.Unreadable)
		}
		for i := range b.Events {
			trim(&b.Events[i])
		}
		if !reflect.DeepEqual(b.Events, want) {
			t.Errorf("events\n%+v, want\n%+v", b.Events, want)
		}
	}
}

// TestRecordedMessagesAndPrompts has an index learn from an engine which of its prompts that engine holds.
func TestRecordedMessagesAndPrompts(t *testing.T) {
	messages, prompts := recorded(t, "testdata/vllm-0.32.0.jsonl"), rendered(t)
	for _, blockTokens := range []int{32, 16} {
		hasher, err := kvindex.NewHasher(blockTokens, "", "")
		if err != nil {
			t.Fatal(err)
		}
		index := kvindex.New(kvindex.Options{Hasher: hasher, Metrics: kvindex.NewMetrics(kvevents.NewMetrics())})
		server := index.NewServer()
		match := func(name, lora, salt string) int {
			held := make([]kvindex.Held, index.Servers())
			index.Match(hasher.Prompt(nil, 1<<16, index.Adapter(lora), salt, prompts[name], nil), time.Now(), held)
			return int(held[server.Ordinal()].Blocks) * blockTokens / 32
		}
		var b kvevents.Batch
		there := map[uint64]bool{}
		for i, frames := range messages {
			if err := b.Decode(frames[2]); err != nil {
				t.Fatal(err)
			}
			server.Apply(b.Events)
			for _, e := range b.Events {
				for _, hash := range e.Hashes {
					there[hash] = e.Kind == kvevents.Stored && (blockTokens == 32 || e.Extra[0] == nil || e.LoRA != "")
				}
				if e.Kind == kvevents.Cleared {
					clear(there)
				}
			}
			want := 0
			for _, is := range there {
				if is {
					want += 32 / blockTokens
				}
			}
			if got := index.Stats().Pairs; int(got) != want {
				t.Errorf("%d blocks after message %d, want %d", got, i, want)
			}
			if i != 4 {
				continue
			}
			salted := 3
			if blockTokens == 16 {
				salted = 0 // to which part the salt belongs is not told
			}
			for name, want := range map[string]int{"chat": 3, "longer": 7, "completion": 3, "messages": 3, "responses": 3} {
				if got := match(name, "tiny", ""); got != want {
					t.Errorf("%s: %d blocks of %d tokens are there, want %d", name, got, blockTokens, want)
				}
			}
			if got, other := match("salted", "tiny", "s1"), match("salted", "tiny", "s2"); got != salted || other != 0 {
				t.Errorf("of the salted prompt %d blocks are there, %d under another salt", got, other)
			}
			if got := match("adapter", "sql", ""); got != 3 {
				t.Errorf("for the adapter %d blocks are there", got)
			}
		}
		if got := match("chat", "tiny", ""); got != 0 {
			t.Errorf("in the end %d blocks are there", got)
		}
	}
}

// TestRecordedImages has an index learn of prompts with images: one, two, another one, twice the same.
func TestRecordedImages(t *testing.T) {
	type place struct{ Offset, Length int }
	type answer struct {
		IDs      []uint32 `json:"token_ids"`
		Features struct {
			Hashes map[string][]string `json:"mm_hashes"`
			Places map[string][]place  `json:"mm_placeholders"`
		}
	}
	prompts := map[string]answer{}
	lines(t, "../tokens/testdata/vllm-0.32.0-images.jsonl", func(line []byte) error {
		var prompt struct {
			Name   string
			Answer answer
		}
		err := json.Unmarshal(line, &prompt)
		prompts[prompt.Name] = prompt.Answer
		return err
	})
	hasher, err := kvindex.NewHasher(32, "", "")
	if err != nil {
		t.Fatal(err)
	}
	index := kvindex.New(kvindex.Options{Hasher: hasher, Metrics: kvindex.NewMetrics(kvevents.NewMetrics())})
	server := index.NewServer()
	match := func(a answer) int32 {
		var features []tokens.Feature
		for i, hash := range a.Features.Hashes["image"] {
			at := a.Features.Places["image"][i]
			features = append(features, tokens.Feature{Modality: "image", Hash: hash, Offset: at.Offset, Length: at.Length})
		}
		held := make([]kvindex.Held, index.Servers())
		index.Match(hasher.Prompt(nil, 1<<16, "", "", a.IDs, features), time.Now(), held)
		return held[server.Ordinal()].Blocks
	}
	var b kvevents.Batch
	for i, frames := range recorded(t, "testdata/vllm-0.32.0-images.jsonl") {
		if err := b.Decode(frames[2]); err != nil {
			t.Fatal(err)
		}
		server.Apply(b.Events)
		// What each holds of the four prompts, of 4, 6, 4 and 6 blocks.
		want := [][]int32{{4, 2, 0, 2}, {4, 6, 0, 2}, {4, 6, 4, 2}, {4, 6, 4, 6}}[i]
		for k, name := range []string{"red", "two", "blue", "twice"} {
			if got := match(prompts[name]); got != want[k] {
				t.Errorf("after message %d, of %q %d blocks are there, want %d", i, name, got, want[k])
			}
		}
	}
}
