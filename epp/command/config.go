package command

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/reload"
)

// configFlags say how the picker is configured.
type configFlags struct {
	file, text   string
	experimental bool
	ignoreSubset bool
	emitScores   bool
}

func (c *configFlags) register(set *pflag.FlagSet) {
	set.StringVar(&c.file, "config-file", "", "EndpointPickerConfig; its changes take effect at once")
	set.StringVar(&c.text, "config-text", "", "EndpointPickerConfig, given here instead of in a file")
	set.BoolVar(&c.experimental, "allow-experimental-plugins", false, "permit plugins that may change or go in any version")
	set.BoolVar(&c.ignoreSubset, "disable-endpoint-subset-filter", false, "choose among the whole pool, whatever subset the proxy allows")
	set.BoolVar(&c.emitScores, "emit-endpoint-scores", false, "tell proxies the scores of all endpoints that were rated, in dynamic metadata beside the one chosen")
}

func (c *configFlags) options() config.Options {
	return config.Options{RefuseExperimental: !c.experimental, IgnoreSubset: c.ignoreSubset}
}

// compiledConfig is a configuration and the text of the file it is from, if it is from one.
type compiledConfig struct {
	*config.Config
	text []byte
}

// load compiles what the flags name, or else the default.
func (c *configFlags) load() (compiledConfig, error) {
	var loaded compiledConfig
	where, text := "the default configuration", config.DefaultText()
	switch {
	case c.text != "":
		where, text = "--config-text", []byte(c.text)
	case c.file != "":
		read, err := reload.Read(c.file)
		if err != nil {
			return loaded, fmt.Errorf("--config-file: %w", err)
		}
		where, text, loaded.text = c.file, read, read
	}
	var err error
	if loaded.Config, err = config.LoadWith(text, c.options()); err != nil {
		return loaded, fmt.Errorf("%s: %w", where, err)
	}
	return loaded, nil
}

// follow puts changes of the file in force until ctx ends. Plugins that ask for objects get them of objects, nil without a cluster.
func (c *configFlags) follow(ctx context.Context, picker *epp.EPP, known []byte, objects datalayer.Watcher, log *slog.Logger) {
	if c.file == "" {
		return
	}
	file, err := reload.Follow(c.file, known)
	if err != nil {
		log.Warn("changes of --config-file take effect at the next start only", "error", err)
		return
	}
	file.Run(ctx, func(text []byte, err error) {
		// Reload logs and counts what goes wrong.
		_ = picker.Reload(func() (*config.Config, error) {
			if err != nil {
				return nil, err
			}
			next, err := config.LoadWith(text, c.options())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.file, err)
			}
			next.Watch(objects)
			return next, nil
		})
	})
}
