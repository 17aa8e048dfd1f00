package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/switchyard/switchyard/epp/config"
)

// loadPickerConfig reads an EndpointPickerConfig; no file means the default.
func loadPickerConfig(path string) (*config.Config, error) {
	if path == "" {
		return config.Default(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config-file: %w", err)
	}
	cfg, err := config.Load(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, w := range cfg.Warnings {
		slog.Warn("endpoint picker configuration", "file", path, "warning", w)
	}
	return cfg, nil
}
