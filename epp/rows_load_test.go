package epp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
)

const configHeader = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"

// TestRowsExperimentalPlugins: each plugin whose form may still change is refused by name unless the flag is given, and no other one.
func TestRowsExperimentalPlugins(t *testing.T) {
	experimental := 0
	for _, typ := range config.Types() {
		text := []byte(configHeader + "plugins: [{type: queue-scorer}, {name: it, type: " + typ.Name + "}]\n")
		_, allowed := config.Load(text)
		_, err := config.LoadWith(text, config.Options{RefuseExperimental: true})
		switch {
		case allowed != nil:
			// It needs parameters, which is the first error either way.
			if err == nil {
				t.Errorf("%s: %v, but without the flag it loads", typ.Name, allowed)
			}
		case typ.Stability == config.Alpha:
			experimental++
			if err == nil || !strings.Contains(err.Error(), `plugins[1] "it"`) || !strings.Contains(err.Error(), "--allow-experimental-plugins") {
				t.Errorf("%s: error %v", typ.Name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", typ.Name, err)
		}
	}
	if experimental < 5 {
		t.Errorf("%d experimental plugins tried", experimental)
	}
}

// TestRowsWhatIsAddedOnLoad: a file that leaves out picker, profile, handler, producers or parsers gets them, and serves with them.
func TestRowsWhatIsAddedOnLoad(t *testing.T) {
	for name, test := range map[string]struct {
		text, handler, picker string
		profiles              int
	}{
		"nothing at all":       {"", "*profile.Single", "*picker.MaxScore", 1},
		"no profile":           {"plugins: [{type: queue-scorer}, {type: prefix-cache-scorer}]\n", "*profile.Single", "*picker.MaxScore", 1},
		"no profile, a picker": {"plugins: [{type: queue-scorer}, {type: random-picker}]\n", "*profile.Single", "*picker.Random", 1},
		"no picker":            {"plugins: [{type: queue-scorer}]\nschedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]\n", "*profile.Single", "*picker.MaxScore", 1},
		"an empty profile":     {"schedulingProfiles: [{name: a}]\n", "*profile.Single", "*picker.MaxScore", 1},
		"a handler": {"plugins: [{type: header-profile-handler, parameters: {defaultProfile: b}}]\nschedulingProfiles: [{name: a}, {name: b}]\n",
			"*profile.Header", "*picker.MaxScore", 2},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := config.Load([]byte(configHeader + test.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%T", loaded.Handler); strings.TrimPrefix(got, "*") != strings.TrimPrefix(test.handler, "*") || len(loaded.Profiles) != test.profiles {
				t.Errorf("handler %s, %d profiles", got, len(loaded.Profiles))
			}
			for _, profile := range loaded.Profiles {
				if got := fmt.Sprintf("%T", profile.Picker); strings.TrimPrefix(got, "*") != strings.TrimPrefix(test.picker, "*") {
					t.Errorf("profile %s has the picker %s", profile.Name, got)
				}
			}
			s := start(t, epp.Options{Config: loaded})
			s.setPool("10.0.0.1:8000")
			stream, answer := s.begin(request)
			if answer.GetDynamicMetadata() == nil {
				t.Errorf("answer %v", answer)
			}
			finish(t, stream)
			s.expectIdle()
		})
	}
}

// TestRowsANameOfAPluginIsItsType unless it has one, and what refers to it may come before it.
func TestRowsANameOfAPluginIsItsType(t *testing.T) {
	loaded, err := config.Load([]byte("schedulingProfiles: [{name: a, plugins: [{pluginRef: mine}, {pluginRef: kv-cache-utilization-scorer, weight: 2}]}]\n" +
		"plugins: [{type: kv-cache-utilization-scorer}, {name: mine, type: queue-scorer}]\n" + configHeader))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, scorer := range loaded.Profiles[0].Scorers {
		got = append(got, fmt.Sprintf("%T x %g", scorer.Scorer, scorer.Weight))
	}
	if fmt.Sprint(got) != "[*scorer.Queue x 1 *scorer.KVCacheUtilization x 2]" {
		t.Errorf("scorers %v", got)
	}
}
