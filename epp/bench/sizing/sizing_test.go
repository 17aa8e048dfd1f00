package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/epp/bench/wire"
	"github.com/switchyard/switchyard/epp/config"
)

const root = "../../.."

// What is written from the results stands in the tree as it is written: page, values and results cannot drift apart.
func TestFilesSayWhatWasMeasured(t *testing.T) {
	got, err := readResults(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := got.files(root)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		before, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
		} else if string(before) != want {
			t.Errorf("%s is not what docs/sizing.json comes to; `go run ./epp/bench/sizing -again -write` in the root folder writes it", path)
		}
	}
	if len(files) < 15 {
		t.Errorf("%d files", len(files))
	}
}

// Every file of a row is there for a row that there is.
func TestNoFileWithoutItsRow(t *testing.T) {
	files, err := filepath.Glob(root + "/examples/values/*rps*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range rows {
		known[r.name()+".yaml"] = true
	}
	for _, path := range files {
		if !known[filepath.Base(path)] {
			t.Errorf("%s has no row", path)
		}
	}
}

func TestRuleOfResources(t *testing.T) {
	for _, c := range []struct {
		need need
		want resources
	}{
		{need{.2, .25, 100 << 20}, resources{"500m", "256Mi", "256Mi"}},
		{need{.4, .5, 300 << 20}, resources{"1", "512Mi", "768Mi"}},
		{need{.4, 2.1, 1 << 30}, resources{"2500m", "1Gi", "2Gi"}},
		{need{20, 22, 5<<30 + 1}, resources{"30", "5376Mi", "10496Mi"}},
	} {
		if got := c.need.resources(); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.need, got, c.want)
		}
	}
	if got, want := (need{1, 5, 3}).or(need{2, 4, 1}), (need{2, 5, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A figure for a rate that was not reached is scaled, and never stands alone.
func TestScaledFiguresSaySo(t *testing.T) {
	r := row{Kind: kindProxy, Rate: 100, In: 100_000, Out: 1_000}
	got := result{Rate: 25, MeanCores: 1, PeakCores: 1.5, IdleBytes: 1 << 30, PeakBytes: 2 << 30}
	if need := r.need(got); need != newNeed(4, 6, 5<<30) {
		t.Errorf("needs %+v", need)
	}
	for _, text := range []string{r.cores(got), r.memory(got), r.said(got)} {
		if !strings.Contains(text, "scaled") {
			t.Errorf("%q does not say that it is scaled", text)
		}
	}
	got.Rate = 99
	if need := r.need(got); need != newNeed(1, 1.5, 2<<30) {
		t.Errorf("measured at its rate, it needs %+v", need)
	}
	for _, text := range []string{r.cores(got), r.memory(got), r.said(got)} {
		if strings.Contains(text, "scaled") {
			t.Errorf("%q was measured", text)
		}
	}
}

func TestBusyMachineIsToldOf(t *testing.T) {
	g := results{Machine: machine{Cores: 2, Load: 20}}
	if !strings.Contains(g.markdown(), "preliminary") {
		t.Error("figures of a busy machine stand as if they were good")
	}
	g.Machine.Load = .3
	if strings.Contains(g.markdown(), "preliminary") {
		t.Error("figures of a quiet machine are called preliminary")
	}
}

func TestMemoryTellsOfAnIndexThatIsNotFull(t *testing.T) {
	full := result{PeakBytes: 1 << 30, IndexEntries: servers * indexBlocks}
	if got := full.filled(); got != "1.00" {
		t.Error(got)
	}
	full.IndexEntries /= 2
	if got := full.filled(); !strings.Contains(got, "50 % full") {
		t.Error(got)
	}
}

func TestRatesTellOfRequestsWithoutAPick(t *testing.T) {
	if got := (result{Rate: 50, Picked: 1}).driven(); got != "50.0" {
		t.Error(got)
	}
	if got := (result{Rate: 50, Picked: .75}).driven(); !strings.Contains(got, "25 % without a pick") {
		t.Error(got)
	}
}

func newNeed(mean, peak, bytes float64) need { return need{mean, peak, bytes} }

func TestPromptsShareWhatConversationsShare(t *testing.T) {
	p := newPrompt(1_000, wire.Body)
	body := func(talk, turn int) []byte {
		var message extprocv3.ProcessingRequest
		if err := proto.Unmarshal(p.message(talk, turn).Materialize(), &message); err != nil {
			t.Fatal(err)
		}
		if !message.GetRequestBody().EndOfStream {
			t.Error("more of the body is to come")
		}
		return message.GetRequestBody().Body
	}
	first, next, other := body(1, 7), body(1, 8), body(2, 7)
	var chat struct {
		Messages []struct{ Content string }
	}
	if err := json.Unmarshal(first, &chat); err != nil || len(chat.Messages[0].Content) != 1_000*bytesPerToken {
		t.Fatalf("%v: %s", err, first)
	}
	if same := common(first, next); same < 3_700 || same > 3_950 {
		t.Errorf("two turns of one conversation share %d bytes", same)
	}
	if same := common(first, other); same > 100 {
		t.Errorf("two conversations share %d bytes", same)
	}
	if plainPrompt := newPrompt(1_000, plain); !bytes.Equal(bytes.Join(plainPrompt.parts(1, 7), nil), first) || plainPrompt.size() != len(first) {
		t.Error("a proxy is sent another body than the picker")
	}
}

func common(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

func TestConversationsHaveTheirTurnsAndEnd(t *testing.T) {
	deal := newTalks(50)
	seen := map[int]int{}
	for n := range 3 * deal.atOnce * turns {
		seen[deal.talk(n)]++
	}
	for talk, count := range seen {
		if count != turns {
			t.Fatalf("conversation %d has %d turns", talk, count)
		}
	}
	if len(seen) != 3*deal.atOnce {
		t.Errorf("%d conversations", len(seen))
	}
}

func TestMedianOfWhatCameBetween(t *testing.T) {
	histogram := func(counts ...uint64) *dto.Histogram {
		out := &dto.Histogram{}
		for i, count := range counts {
			out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: proto.Float64(float64(i + 1)), CumulativeCount: &count})
		}
		out.SampleCount = &counts[len(counts)-1]
		return out
	}
	if got := median(nil, histogram(1, 5, 9)); got != 2 {
		t.Errorf("from the start %g", got)
	}
	if got := median(histogram(1, 5, 9), histogram(1, 6, 20)); got != 3 {
		t.Errorf("between %g", got)
	}
}

// The picker that is measured has the configuration of the values file, and the endpoints of a file beside.
func TestConfigurationIsThatOfTheValues(t *testing.T) {
	text := discovering(pluginsConfig(4096), "/endpoints.txt")
	if _, err := config.Load([]byte(text)); err != nil {
		t.Errorf("%v:\n%s", err, text)
	}
	var values struct {
		Router struct {
			EPP struct {
				PluginsConfigFile   string
				PluginsCustomConfig map[string]string
			}
		}
	}
	r := row{Kind: kindEPP, Rate: 5, In: 100_000, Out: 1_000, Blocks: 256}
	if err := yaml.Unmarshal([]byte(pickerValues(r, result{Rate: 5})), &values); err != nil {
		t.Fatal(err)
	}
	if got := values.Router.EPP.PluginsCustomConfig[values.Router.EPP.PluginsConfigFile]; got != pluginsConfig(r.matched()) {
		t.Errorf("the values have another configuration:\n%s", got)
	}
}

func TestWatchSeesWhatAProcessUses(t *testing.T) {
	p, err := start("sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	got, err := p.watch(t.Context(), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got.mean <= 0 || got.peak < got.mean || got.peak > 1.5 {
		t.Errorf("%+v", got)
	}
	now, peak, err := p.memory()
	if err != nil || now <= 0 || peak < now {
		t.Errorf("%d, %d, %v", now, peak, err)
	}
	if err := p.alive(); err != nil {
		t.Error(err)
	}
	p.stop()
	if p.alive() == nil {
		t.Error("it is gone")
	}
}

func TestTablesStandBetweenTheirLines(t *testing.T) {
	got, err := between("a\n"+pageBegin+"old\n"+pageEnd+"b\n", "new\n")
	if err != nil || got != "a\n"+pageBegin+"new\n"+pageEnd+"b\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := between("a\n", "new\n"); err == nil {
		t.Error("a page without the lines is written")
	}
}
