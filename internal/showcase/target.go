package showcase

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/switchyard/switchyard/translate/model"
)

// target is where a person, or the burst, sends a chat request.
type target struct {
	base string // http://127.0.0.1:8080
	host string // Host header, empty for the base's own
	path string // of the chat API
}

// ErrNoTarget says that no plain HTTP listener leads a chat request to a pool.
var ErrNoTarget = errors.New("no rule of a plain HTTP listener leads /v1/chat/completions to an InferencePool")

const chatPath = "/v1/chat/completions"

// target finds the first way to a pool.
func (s *Showcase) target() (target, error) {
	for _, gw := range s.Gateways {
		for i := range gw.Ports {
			p := &gw.Ports[i]
			if p.Protocol != model.HTTP {
				continue
			}
			for _, h := range sortedHosts(p.Chains[0].Hosts) {
				if leadsToPool(gw, h.Rules) {
					return newTarget(s.opts.Bind, p.Number, h.Name), nil
				}
			}
		}
	}
	return target{}, ErrNoTarget
}

// leadsToPool tells whether the first rule that takes a chat request has a pool among its targets.
func leadsToPool(gw *model.Gateway, rules []model.Rule) bool {
	for i := range rules {
		r := &rules[i]
		if !takesChat(&r.Match) {
			continue
		}
		if r.Action.Forward == nil {
			return false
		}
		for _, t := range r.Action.Forward.Targets {
			if gw.Backends[t.Backend].Pool != nil {
				return true
			}
		}
		return false
	}
	return false
}

func takesChat(m *model.Match) bool {
	if len(m.Headers) > 0 || len(m.Query) > 0 || (m.Method != "" && m.Method != "POST") {
		return false
	}
	switch m.Path.Kind {
	case model.Exact:
		return m.Path.Value == "" || m.Path.Value == chatPath
	case model.PathPrefix:
		prefix := strings.TrimRight(m.Path.Value, "/")
		return chatPath == prefix || strings.HasPrefix(chatPath, prefix+"/")
	}
	return false
}

func newTarget(bind string, port uint16, hostname string) target {
	if bind == "" || bind == "0.0.0.0" {
		bind = "127.0.0.1"
	}
	t := target{base: "http://" + net.JoinHostPort(bind, strconv.Itoa(int(port))), path: chatPath}
	switch {
	case hostname == "*":
	case strings.HasPrefix(hostname, "*."):
		t.host = "any" + hostname[1:]
	default:
		t.host = hostname
	}
	return t
}

// curl is a command line that sends one streamed request.
func (t target) curl(modelName string) string {
	host := ""
	if t.host != "" {
		host = fmt.Sprintf(" -H 'Host: %s'", t.host)
	}
	return fmt.Sprintf(`curl -N %s%s%s -d '{"model":%q,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'`,
		t.base, t.path, host, modelName)
}
