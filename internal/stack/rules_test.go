package stack

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source/file"
)

const manifest = `
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec: {selector: {matchLabels: {app: llama}}, targetPorts: [{number: 8000}]}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata: {name: chat, namespace: models}
spec: {priority: 7, poolRef: {name: llama}}
`

// The embedded picker reads what the pipeline made last.
func TestEmbeddedPickerKnowsObjectives(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := Start(Options{Source: file.New(dir, log), XDS: "127.0.0.1:0", Admin: "127.0.0.1:0", Picker: "127.0.0.1:0", Log: log, Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.WaitResult(ctx); err != nil {
		t.Fatal(err)
	}
	if priority, known := s.rules.Load().Priority("models/llama", "chat"); priority != 7 || !known {
		t.Errorf("the priority is %d, %t, want 7", priority, known)
	}
}
