package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/stack"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// relieved is how long the proxies take at most to ask another picker, from the moment that the objects name it: the change of a file, its translation,
// a connection and a health check. Were the outcome of that held back, as Envoy does by itself, it would be a second more.
const relieved = 500 * time.Millisecond

// TestPickerRelieved replaces the picker of a FailClose pool by another that proxies have not known before.
func TestPickerRelieved(t *testing.T) {
	w, before, after := newTwoPickers(t, failClose)
	write := func(pickers ...string) {
		w.write("pickers.yaml", "---\napiVersion: v1\nkind: Service\nmetadata: {name: picker, namespace: default}\nspec: {ports: [{name: epp, port: 9002, targetPort: epp}]}\n"+
			strings.Join(pickers, ""))
	}
	slice := func(p *pickerProcess, conditions string) string {
		return fmt.Sprintf("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: picker-%[1]d, namespace: default, labels: {kubernetes.io/service-name: picker}}\n"+
			"addressType: IPv4\nports: [{name: epp, port: %[1]d}]\nendpoints: [{addresses: [%[2]s], conditions: {%[3]s}}]\n", p.address.Port(), p.address.Addr(), conditions)
	}
	const ready, ending = "ready: true", "ready: false, terminating: true"
	write(slice(before, ready))
	w.startStack(stack.Options{
		Pickers: []netip.AddrPort{before.address}, // so that none is embedded; the Service says who is asked
		Translate: translate.Options{Objects: gatewayapi.Options{
			Picker: gatewayapi.ServicePort{Service: source.Key{Namespace: "default", Name: "picker"}, Port: 9002},
		}},
	})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	w.picked(10 * time.Second)

	for _, c := range []struct {
		name     string
		from, to *pickerProcess
		meantime string // of the one that is relieved; gone at once when empty
	}{
		{"when it is gone", before, after, ""},
		{"while it ends", after, before, ending},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.expectPicked()
			asked := c.to.requests()
			began := time.Now()
			next := []string{slice(c.to, ready)}
			if c.meantime != "" {
				next = append(next, slice(c.from, c.meantime))
			}
			write(next...)
			refused, took := 0, time.Duration(0)
			for took == 0 {
				for range 5 {
					if r := w.post("/v1/chat/completions", chat("hello", false, 1)); r.status != http.StatusOK {
						refused++
					}
				}
				switch {
				case c.to.requests() > asked:
					took = time.Since(began)
				case time.Since(began) > 10*relieved:
					t.Fatal("the other picker is never asked")
				}
			}
			t.Logf("the other picker is asked after %s; %d requests were refused", took.Round(time.Millisecond), refused)
			if took > relieved {
				t.Errorf("the other picker is asked only after %s, want %s", took, relieved)
			}
			if c.meantime != "" && refused > 0 {
				t.Errorf("%d requests were refused", refused)
			}
		})
	}
}
