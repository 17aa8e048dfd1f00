package showcase

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

func TestWrittenManifestsLeadToTheEndpoints(t *testing.T) {
	path, err := WriteManifests(t.TempDir(), 9999, []string{"127.0.0.1:8001", "127.0.0.2:8002", "localhost:8001", "127.0.0.1:8001"})
	if err != nil {
		t.Fatal(err)
	}
	update, err := file.Load(path)
	if err != nil || len(update.Problems) > 0 || len(update.Warnings) > 0 {
		t.Fatalf("reading back: %v %v %v", err, update.Problems, update.Warnings)
	}
	gateways := gatewayapi.Build(update.Objects, gatewayapi.Options{}).Gateways
	if len(gateways) != 1 || len(gateways[0].Ports) != 1 || gateways[0].Ports[0].Number != 9999 {
		t.Fatalf("gateways %+v", gateways)
	}
	var got []string
	for _, b := range gateways[0].Backends {
		for _, e := range b.Endpoints {
			got = append(got, e.String())
		}
	}
	if s := strings.Join(got, " "); s != "127.0.0.1:8001 127.0.0.2:8002" {
		t.Errorf("endpoints %s", s)
	}
}

func TestEndpointsThatCannotBeMeant(t *testing.T) {
	many := make([]string, maxTargetPorts+1)
	for i := range many {
		many[i] = fmt.Sprintf("127.0.0.1:%d", 8000+i)
	}
	for want, endpoints := range map[string][]string{
		"missing port":      {"model-server"},
		"from 1 to 65535":   {"127.0.0.1:0"},
		"9 different ports": many,
	} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := WriteManifests(dir, 8080, endpoints)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--endpoint") {
			t.Errorf("%v: %v, want an error that says %q", endpoints, err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v: a folder was made", endpoints)
		}
	}
}

func TestCurlLine(t *testing.T) {
	for hostname, want := range map[string]string{
		"*":                "curl -N http://127.0.0.1:80/v1/chat/completions -d",
		"chat.example.com": "-H 'Host: chat.example.com'",
		"*.example.com":    "-H 'Host: any.example.com'",
	} {
		if got := newTarget("0.0.0.0", 80, hostname).curl("m"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", hostname, got)
		}
	}
}
