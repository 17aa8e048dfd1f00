package command

import (
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestEPPIsReadyWhenItsPoolIsThere(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "other.yaml"), strings.ReplaceAll(pool, "llama", "other"))
	t.Setenv("NAMESPACE", "models")
	p := startEPP(t, "-f", dir, "--pool-name", "llama")
	p.eventually("the log tells of the missing pool", func() bool {
		line := p.log.line("not ready: there is no InferencePool of this name; create it, or correct --pool-name and --pool-namespace")
		return line != nil && line["pool"] == "models/llama"
	})
	conns := map[string]*grpc.ClientConn{
		"ext_proc": p.dial(p.extProc, unverified()), "health": p.dial(p.health, insecure.NewCredentials()),
	}
	for port, conn := range conns {
		for service, want := range map[string]string{"": "NOT_SERVING", "readiness": "NOT_SERVING", "inference-extension": "NOT_SERVING",
			"envoy.service.ext_proc.v3.ExternalProcessor": "NOT_SERVING", "liveness": "SERVING"} {
			if got := p.healthOf(conn, service); got != want {
				t.Errorf("without the pool %q on the %s port is %s, want %s", service, port, got, want)
			}
		}
	}
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	for port, conn := range conns {
		for _, service := range []string{"", "readiness", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor", "liveness"} {
			p.eventually(service+" on the "+port+" port is ready", func() bool { return p.healthOf(conn, service) == "SERVING" })
		}
	}
	if p.log.line("the InferencePool is there") == nil {
		p.eventually("the log tells that the pool is there", func() bool { return p.log.line("the InferencePool is there") != nil })
	}
	if at, err := p.ask(conns["ext_proc"]); err != nil || at != "127.0.0.9:1" {
		t.Errorf("picked %q, %v", at, err)
	}
}
