package e2e

import (
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source"
)

func TestTmpNack(t *testing.T) {
	w := newWorld(t, gateway+echoServices(1, "a", "b"), worldOptions{proxies: 1})
	w.apply("good.yaml", routeFor("good", "good.example", "", to2("/", "a")))
	for _, re := range []string{`/\pL{40}`, `/(abcdefghij){90}`, `/(abcdefghij){500}`, `/(abcdefghij){900}`, `/\C`, `/(?i)\pL{100}`, `/(\pL{100}){9}`, `/(((a{0,100}){0,100}){0,10})`, `/\p{Kawi}`, `/(?s-m:.)`, `/[[:word:]]{1000}`, `/(?P<n>x)(?<m>y)`} {
		w.write("bad.yaml", routeFor("bad", "bad.example", "", `
  - matches: [{path: {type: RegularExpression, value: '`+re+`'}}]`+to("a")))
		<-time.After(500 * time.Millisecond)
		r, _ := w.stack.Pipeline.Latest()
		t.Log(re, w.problems())
		s := r.Statuses.HTTPRoutes[source.Key{Namespace: "default", Name: "bad"}]
		if s != nil {
			for _, c := range s.Parents[0].Conditions {
				t.Log(c.Type, c.Status, c.Reason, c.Message)
			}
		}
	}
}
func to2(path, service string) string {
	return "\n  - matches: [{path: {value: " + path + "}}]" + to(service)
}
