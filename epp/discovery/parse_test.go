package discovery

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"endpoints: []": "",
		"endpoints:\n- {name: w0, namespace: default, address: 10.0.0.1, port: \"8000\", labels: {llm-d.ai/role: decode}}": "default/w0 10.0.0.1:8000 map[llm-d.ai/role:decode]",
		"endpoints: [{name: a, address: 10.0.0.1, port: 1}, {name: a, namespace: b, address: 10.0.0.1, port: '65535'}]":    "default/a 10.0.0.1:1 map[], b/a 10.0.0.1:65535 map[]",
		"endpoints: [{name: six, address: 'fd00::1', port: 8000}]":                                                         "default/six [fd00::1]:8000 map[]",
		"endpoints: [{name: mapped, address: '::ffff:10.0.0.1', port: 8000}]":                                              "default/mapped 10.0.0.1:8000 map[]",
		`{"endpoints": [{"name": "a", "address": "10.0.0.1", "port": 8000}]}`:                                              "default/a 10.0.0.1:8000 map[]",
	} {
		specs, err := parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, s := range specs {
			got = append(got, fmt.Sprintf("%s/%s %s %v", s.Namespace, s.Name, s.Address, s.Labels))
		}
		if joined := strings.Join(got, ", "); joined != want {
			t.Errorf("%s: %s, want %s", text, joined, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	endpoint := func(fields string) string {
		return "endpoints: [{name: a, address: 10.0.0.1, port: 1}, {" + fields + "}]"
	}
	many := "endpoints:" + strings.Repeat("\n- {name: a}", 30)
	for text, want := range map[string][]string{
		"":                                     {"endpoints: missing"},
		"endpoints:":                           {"endpoints: missing"},
		"{}":                                   {"endpoints: missing"},
		"endpoints: 7":                         {"endpoints"},
		"endpoints: [7]":                       {"endpoints"},
		"endpoints: [":                         {"not valid YAML"},
		"endpoint: []":                         {`unknown field "endpoint"`, "spelling"},
		"endpoints: []\nmore: 1":               {`unknown field "more"`},
		"endpoints: []\nendpoints: []":         {"not valid YAML", "endpoints"},
		endpoint("address: 10.0.0.2, port: 1"): {"endpoints[1]: name: missing"},
		endpoint("name: a, address: 10.0.0.2, port: 1"):                 {"endpoints[1]", `"a" is taken by endpoints[0]`, "default"},
		endpoint("name: b, port: 1"):                                    {`endpoints[1]: "b": address: ""`},
		endpoint("name: b, address: gpu-1, port: 1"):                    {`address: "gpu-1"`, "name of a host"},
		endpoint("name: b, address: '[fd00::1]', port: 1"):              {`address: "[fd00::1]"`},
		endpoint("name: b, address: 'fe80::1%eth0', port: 1"):           {"not the address of one server"},
		endpoint("name: b, address: 0.0.0.0, port: 1"):                  {"not the address of one server"},
		endpoint("name: b, address: '10.0.0.1:80', port: 1"):            {"address"},
		endpoint("name: b, address: 10.0.0.2"):                          {"port: missing"},
		endpoint("name: b, address: 10.0.0.2, port: 0"):                 {"port: 0 is not"},
		endpoint("name: b, address: 10.0.0.2, port: 65536"):             {"port: 65536 is not"},
		endpoint("name: b, address: 10.0.0.2, port: -1"):                {"port: -1 is not"},
		endpoint("name: b, address: 10.0.0.2, port: http"):              {`port: "http" is not`},
		endpoint("name: b, address: 10.0.0.2, port: 80.5"):              {"port: 80.5 is not"},
		endpoint("name: b, address: 10.0.0.2, port: [1]"):               {"port: [1] is not"},
		endpoint("name: b, address: x, port: 1, weight: 2"):             {`unknown field "endpoints[1].weight"`},
		endpoint("name: b, address: 10.0.0.2, port: 1, labels: {a: 1}"): {"labels"},
		"endpoints: [{name: a}, {address: x}]":                          {"endpoints[0]", "endpoints[1]"},
		many:                                                            {"endpoints[19]", "and 10 more errors"},
		"endpoints: [] #" + strings.Repeat("x", maxBytes):               {"1048576"},
	} {
		specs, err := parse([]byte(text))
		if err == nil {
			t.Errorf("%.80s: read as %v", text, specs)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%.80s: %q lacks %q", text, err, part)
			}
		}
	}
}

// FuzzParse checks that what is read is right: unique names, addresses with a port.
func FuzzParse(f *testing.F) {
	f.Add([]byte("endpoints:\n- {name: w0, namespace: default, address: 10.0.0.1, port: \"8000\", labels: {a: b}}\n- {name: w1, address: 'fd00::1', port: 1}\n"))
	f.Add([]byte("endpoints: [{name: a, address: 10.0.0.1, port: 1e3}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		specs, err := parse(text)
		if (err == nil) != (specs != nil) {
			t.Fatalf("%d endpoints, error %v", len(specs), err)
		}
		names := map[[2]string]bool{}
		for _, s := range specs {
			id := [2]string{s.Namespace, s.Name}
			if names[id] || s.Name == "" || s.Namespace == "" || !strings.Contains(s.Address, ":") || strings.HasSuffix(s.Address, ":0") {
				t.Errorf("endpoint %+v", s)
			}
			names[id] = true
		}
	})
}
