package profile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// says is a decider that notes which candidate it was asked about.
type says struct {
	yes   bool
	asked []int
}

func (s *says) Disaggregate(_ *scheduling.Cycle, decode int) bool {
	s.asked = append(s.asked, decode)
	return s.yes
}

// among is a profile that chooses all the candidates given, in their order.
func among(name string, candidates ...int) *profile.Profile {
	return &profile.Profile{Name: name, Filters: []scheduling.Filter{keep(candidates)}, Picker: all{}}
}

type all struct{}

func (all) Pick(_ *scheduling.Cycle, in []int, _ []float32) []int { return in }

// outcome is what a request came to.
type outcome struct {
	chosen             []int
	stages             []scheduling.Stage
	prefiller, encoder string
	dataParallel       string
	destination        string
	scored             []int
}

// address is that of candidate i of poolOf.
func address(i int) string {
	return []string{"10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000", "10.0.0.4:8000", "10.0.0.5:8000"}[i]
}

func decide(t *testing.T, handler profile.Handler, request *body.Request) (outcome, error) {
	t.Helper()
	c := scheduling.NewCycle(request, poolOf(5).Endpoints(), time.Now())
	defer c.Release()
	c.KeepScores = true
	chosen, err := handler.Schedule(c)
	if err != nil {
		return outcome{}, err
	}
	got := outcome{chosen: slices.Clone(chosen), stages: slices.Clone(c.Stages()), destination: c.Destination(chosen[0])}
	for _, header := range c.OutgoingHeaders() {
		switch header.Name {
		case "x-prefiller-host-port":
			got.prefiller = header.Value
		case "x-encoder-hosts-ports":
			got.encoder = header.Value
		case "x-data-parallel-host-port":
			got.dataParallel = header.Value
		default:
			t.Errorf("header %s: %s", header.Name, header.Value)
		}
	}
	c.EachScore(func(candidate int, _ float32) { got.scored = append(got.scored, candidate) })
	return got, nil
}

func prefillAt(candidate int) scheduling.Stage {
	return scheduling.Stage{Name: scheduling.StagePrefill, Candidate: candidate}
}

func encodeAt(candidate int) scheduling.Stage {
	return scheduling.Stage{Name: scheduling.StageEncode, Candidate: candidate}
}

func TestDisaggSplitsRequests(t *testing.T) {
	const both = `{"deciders":{"prefill":"p","encode":"e"}}`
	decode, prefill, encode := among("decode", 0, 3), among("prefill", 1), among("encode", 2)
	for name, test := range map[string]struct {
		parameters    string
		profiles      []*profile.Profile
		p, e          bool // what the deciders say
		multimodal    bool
		want          outcome
		decision      profile.Decision
		pAsked, eAsks []int
	}{
		"no deciders": {``, []*profile.Profile{decode, prefill, encode}, true, true, true, outcome{}, profile.DecodeOnly, nil, nil},
		"text":        {both, []*profile.Profile{decode, prefill, encode}, true, true, false, outcome{stages: []scheduling.Stage{prefillAt(1)}, prefiller: address(1)}, profile.PrefillDecode, []int{0}, nil},
		"media": {both, []*profile.Profile{encode, prefill, decode}, true, true, true, outcome{stages: []scheduling.Stage{prefillAt(1), encodeAt(2)}, prefiller: address(1), encoder: address(2)},
			profile.EncodePrefillDecode, []int{0}, []int{0}},
		"no prefill":  {both, []*profile.Profile{decode, prefill, encode}, false, true, true, outcome{stages: []scheduling.Stage{encodeAt(2)}, encoder: address(2)}, profile.EncodeDecode, []int{0}, []int{0}},
		"no encode":   {both, []*profile.Profile{decode, prefill, encode}, true, false, true, outcome{stages: []scheduling.Stage{prefillAt(1)}, prefiller: address(1)}, profile.PrefillDecode, []int{0}, []int{0}},
		"neither":     {both, []*profile.Profile{decode, prefill, encode}, false, false, true, outcome{}, profile.DecodeOnly, []int{0}, []int{0}},
		"encode only": {`{"deciders":{"encode":"e"}}`, []*profile.Profile{decode, encode}, true, true, true, outcome{stages: []scheduling.Stage{encodeAt(2)}, encoder: address(2)}, profile.EncodeDecode, nil, []int{0}},
		"other names": {`{"profiles":{"decode":"d","prefill":"p","encode":"e"},"deciders":{"prefill":"p","encode":"e"}}`,
			[]*profile.Profile{among("p", 4), among("d", 0, 3), among("e", 2), among("decode", 1)}, true, true, true,
			outcome{stages: []scheduling.Stage{prefillAt(4), encodeAt(2)}, prefiller: address(4), encoder: address(2)}, profile.EncodePrefillDecode, []int{0}, []int{0}},
		"nobody to prefill": {both, []*profile.Profile{decode, among("prefill"), encode}, true, true, false, outcome{}, profile.DecodeOnly, []int{0}, nil},
		"nobody to encode":  {both, []*profile.Profile{decode, prefill, among("encode")}, true, true, true, outcome{stages: []scheduling.Stage{prefillAt(1)}, prefiller: address(1)}, profile.PrefillDecode, []int{0}, []int{0}},
		"several": {both, []*profile.Profile{decode, among("prefill", 1, 2), among("encode", 2, 4)}, true, true, true,
			outcome{stages: []scheduling.Stage{prefillAt(1), encodeAt(2), encodeAt(4)}, prefiller: address(1), encoder: address(2) + "," + address(4)}, profile.EncodePrefillDecode, []int{0}, []int{0}},
		"prefill where it decodes": {both, []*profile.Profile{decode, among("prefill", 0), encode}, true, true, false, outcome{}, profile.DecodeOnly, []int{0}, nil},
		"encode where it decodes":  {both, []*profile.Profile{decode, prefill, among("encode", 0)}, false, true, true, outcome{}, profile.DecodeOnly, []int{0}, []int{0}},
		"encode where it prefills": {both, []*profile.Profile{decode, prefill, among("encode", 1, 4)}, true, true, true,
			outcome{stages: []scheduling.Stage{prefillAt(1), encodeAt(4)}, prefiller: address(1), encoder: address(4)}, profile.EncodePrefillDecode, []int{0}, []int{0}},
		"encode where it decodes, prefill elsewhere": {both, []*profile.Profile{decode, prefill, among("encode", 0)}, true, true, true,
			outcome{stages: []scheduling.Stage{prefillAt(1), encodeAt(0)}, prefiller: address(1), encoder: address(0)}, profile.EncodePrefillDecode, []int{0}, []int{0}},
		"prefill first": {`{"stageOrder":"prefill-first","deciders":{"encode":"e"}}`, []*profile.Profile{decode, prefill, encode}, false, true, true,
			outcome{stages: []scheduling.Stage{prefillAt(1), encodeAt(2)}, prefiller: address(1), encoder: address(2)}, profile.EncodePrefillDecode, nil, []int{-1}},
		"prefill first, text":              {`{"stageOrder":"prefill-first"}`, []*profile.Profile{decode, prefill, encode}, false, true, false, outcome{stages: []scheduling.Stage{prefillAt(1)}, prefiller: address(1)}, profile.PrefillDecode, nil, nil},
		"prefill first, nobody to":         {`{"stageOrder":"Prefill_First"}`, []*profile.Profile{decode, among("prefill")}, true, true, false, outcome{}, profile.DecodeOnly, nil, nil},
		"prefill first, without a profile": {`{"stageOrder":"prefill-first"}`, []*profile.Profile{decode}, true, true, false, outcome{}, profile.DecodeOnly, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := &says{yes: test.p}, &says{yes: test.e}
			handler, err := profile.NewDisagg([]byte(test.parameters), profile.Setting{Name: "split", Profiles: test.profiles,
				Deciders: map[string]scheduling.Decider{"p": p, "e": e}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := decide(t, handler, &body.Request{Model: "m", Multimodal: test.multimodal})
			if err != nil {
				t.Fatal(err)
			}
			test.want.chosen, test.want.scored, test.want.destination = []int{0, 3}, []int{0, 3}, address(0)
			if !slices.Equal(got.chosen, test.want.chosen) || !slices.Equal(got.stages, test.want.stages) || got.prefiller != test.want.prefiller ||
				got.encoder != test.want.encoder || got.destination != test.want.destination || !slices.Equal(got.scored, test.want.scored) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			for decision := profile.DecodeOnly; decision <= profile.EncodePrefillDecode; decision++ {
				want := uint64(0)
				if decision == test.decision {
					want = 1
				}
				if n := handler.Decisions().Count("m", decision); n != want {
					t.Errorf("%s was counted %d times, want %d", decision, n, want)
				}
			}
			if !slices.Equal(p.asked, test.pAsked) || !slices.Equal(e.asked, test.eAsks) {
				t.Errorf("deciders were asked about %v and %v, want %v and %v", p.asked, e.asked, test.pAsked, test.eAsks)
			}
		})
	}
}

// TestDisaggTakesHeadersOfClientsAway sets both headers always: they would steer what the decode server asks.
func TestDisaggTakesHeadersOfClientsAway(t *testing.T) {
	handler, err := profile.NewDisagg(nil, profile.Setting{Profiles: []*profile.Profile{among("decode", 0)}})
	if err != nil {
		t.Fatal(err)
	}
	c := scheduling.NewCycle(&body.Request{}, poolOf(2).Endpoints(), time.Now())
	defer c.Release()
	if _, err := handler.Schedule(c); err != nil {
		t.Fatal(err)
	}
	want := scheduling.Headers{{Name: "x-prefiller-host-port"}, {Name: "x-encoder-hosts-ports"}}
	if !slices.Equal(c.OutgoingHeaders(), want) {
		t.Errorf("headers %v, want %v", c.OutgoingHeaders(), want)
	}
}

func TestDisaggWithNobodyToDecode(t *testing.T) {
	for _, parameters := range []string{`{"deciders":{"prefill":"p"}}`, `{"stageOrder":"prefill-first"}`} {
		p := &says{yes: true}
		handler, err := profile.NewDisagg([]byte(parameters), profile.Setting{Profiles: []*profile.Profile{among("decode"), among("prefill", 1)},
			Deciders: map[string]scheduling.Decider{"p": p}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decide(t, handler, &body.Request{Model: "m"}); !errors.Is(err, scheduling.ErrFiltered) {
			t.Errorf("%s: %+v, error %v", parameters, got, err)
		}
		if len(p.asked) > 0 || handler.Decisions().Count("m", profile.DecodeOnly)+handler.Decisions().Count("m", profile.PrefillDecode) > 0 {
			t.Errorf("%s: a request that nobody serves was decided about", parameters)
		}
	}
}

func TestDisaggBadParameters(t *testing.T) {
	deciders := map[string]scheduling.Decider{"p": &says{}}
	for parameters, field := range map[string]string{
		`{"x":1}`:                        `"x"`,
		`{"profiles":{"fallback":"x"}}`:  "fallback",
		`{"profiles":{"decode":"gone"}}`: "profiles.decode",
		`{"profiles":{"prefill":"gone"},"deciders":{"prefill":"p"}}`:      "profiles.prefill",
		`{"profiles":{"encode":"gone"},"deciders":{"encode":"p"}}`:        "profiles.encode",
		`{"deciders":{"prefill":"gone"}}`:                                 `"gone"`,
		`{"deciders":{"encode":"gone"}}`:                                  `"gone"`,
		`{"deciders":{"decode":"p"}}`:                                     "deciders.decode",
		`{"stageOrder":"encode-first"}`:                                   "stageOrder",
		`{"stageOrder":"prefill-first","deciders":{"prefill":"p"}}`:       "deciders.prefill",
		`{"stageOrder":"prefill-first","profiles":{"prefill":"missing"}}`: "profiles.prefill",
	} {
		setting := profile.Setting{Profiles: []*profile.Profile{among("decode", 0), among("prefill", 1), among("encode", 2)}, Deciders: deciders}
		if _, err := profile.NewDisagg([]byte(parameters), setting); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
}

func TestPD(t *testing.T) {
	setting := func(p *says) profile.Setting {
		return profile.Setting{Name: "pd", Profiles: []*profile.Profile{among("decode", 0, 3), among("prefill", 1), among("other", 2)},
			Deciders: map[string]scheduling.Decider{"mine": p, profile.PDDecider: p}}
	}
	for name, test := range map[string]struct {
		parameters string
		yes        bool
		want       outcome
	}{
		"defaults":        {``, true, outcome{prefiller: address(1), stages: []scheduling.Stage{prefillAt(1)}, destination: address(0)}},
		"decode only":     {`{"deciderPluginName":"mine"}`, false, outcome{destination: address(0)}},
		"another profile": {`{"prefillProfile":"other","prefixPluginName":"x","prefixPluginType":"y"}`, true, outcome{prefiller: address(2), stages: []scheduling.Stage{prefillAt(2)}, destination: address(0)}},
		"primary port":    {`{"primaryPort":9000}`, true, outcome{prefiller: address(1), stages: []scheduling.Stage{prefillAt(1)}, dataParallel: address(0), destination: "10.0.0.1:9000"}},
	} {
		handler, err := profile.NewPD([]byte(test.parameters), setting(&says{yes: test.yes}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := decide(t, handler, &body.Request{Model: "m", Multimodal: true})
		if err != nil || !slices.Equal(got.chosen, []int{0, 3}) || got.prefiller != test.want.prefiller || got.encoder != "" ||
			got.dataParallel != test.want.dataParallel || got.destination != test.want.destination || !slices.Equal(got.stages, test.want.stages) {
			t.Errorf("%s: error %v, got %+v\nwant %+v", name, err, got, test.want)
		}
	}
	for parameters, field := range map[string]string{
		`{"threshold":100}`: "nonCachedTokens", `{"hashBlockSize":16}`: "hashBlockSize", `{"primaryPort":70000}`: "primaryPort", `{"deciderPluginName":""}`: "deciderPluginName",
		`{"decodeProfile":"gone"}`: "decodeProfile", `{"prefillProfile":"gone"}`: "prefillProfile", `{"prefixMatchInfoProducerName":"x"}`: "prefixMatchInfoProducerName", `{"x":1}`: "x",
	} {
		if _, err := profile.NewPD([]byte(parameters), setting(&says{})); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
}

func TestDataParallel(t *testing.T) {
	for parameters, port := range map[string]string{``: "8000", `{"primaryPort":81}`: "81"} {
		handler, err := profile.NewDataParallel([]byte(parameters), []*profile.Profile{among("only", 2, 4)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decide(t, handler, &body.Request{})
		if err != nil || !slices.Equal(got.chosen, []int{2, 4}) || got.dataParallel != address(2) || got.destination != "10.0.0.3:"+port {
			t.Errorf("%s: error %v, got %+v", parameters, err, got)
		}
	}
	for parameters, field := range map[string]string{`{"primaryPort":0}`: "primaryPort", `{"primaryPort":65536}`: "primaryPort", `{"port":1}`: "port"} {
		if _, err := profile.NewDataParallel([]byte(parameters), stages("a")); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
	if _, err := profile.NewDataParallel(nil, stages("a", "b")); err == nil {
		t.Error("two profiles were accepted")
	}
	handler, err := profile.NewDataParallel(nil, []*profile.Profile{among("only")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decide(t, handler, &body.Request{}); !errors.Is(err, scheduling.ErrFiltered) {
		t.Errorf("nobody left: %+v, error %v", got, err)
	}
}
