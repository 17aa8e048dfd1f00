package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/internal/showcase"
	"github.com/switchyard/switchyard/proxyfleet"
)

// quickstart is what `run` runs when nothing else is named.
const quickstart = "examples/quickstart"

type runFlags struct {
	manifests  string
	endpoints  []string
	writeTo    string
	port       uint16
	proxies    int
	once       bool
	envoy      string
	bind       string
	admin      string
	model      string
	configFile string
}

func newRun() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Bring up everything on this machine, and show that it works",
		Long: `Starts the control plane, a fleet of real Envoys for each Gateway, the embedded endpoint picker, and a simulated
model server for every pod whose container runs "sim". Sends a short burst of chat requests, prints where they
went, and stays up until Ctrl-C. Edits of the manifests take effect at once.

Without -f it runs ` + quickstart + `. With --endpoint it writes manifests for model servers of yours and runs those.`,
		Example: `  controlplane run
  controlplane run -f manifests --proxies 3
  controlplane run --endpoint 10.0.0.5:8000 --endpoint 10.0.0.6:8000
  controlplane run --once && echo it works`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEverything(cmd, &flags) },
	}
	manifestsFlag(cmd, &flags.manifests, "")
	f := cmd.Flags()
	f.StringSliceVar(&flags.endpoints, "endpoint", nil, "HOST:PORT of a model server, repeatable; writes manifests for them and runs those")
	f.StringVar(&flags.writeTo, "write-to", "switchyard-manifests", "folder for the manifests that --endpoint writes")
	f.Uint16Var(&flags.port, "port", 8080, "port of the Gateway that --endpoint writes")
	f.IntVar(&flags.proxies, "proxies", 2, "Envoys of each Gateway")
	f.BoolVar(&flags.once, "once", false, "send the burst, print the table and end; status 0 only if all of it was right")
	f.StringVar(&flags.envoy, "envoy", "", "Envoy binary; default: from PATH, or what `make tools` fetched")
	f.StringVar(&flags.bind, "bind-address", "127.0.0.1", "address on which proxies open their listeners")
	f.StringVar(&flags.admin, "admin-address", "127.0.0.1:0", "where /metrics, /debug/xds and /debug/epp are")
	f.StringVar(&flags.model, "model", "", "model that the burst asks for; default: the first that /v1/models lists")
	f.StringVar(&flags.configFile, "config-file", "", "EndpointPickerConfig of the embedded picker")
	cmd.MarkFlagsMutuallyExclusive("filename", "endpoint")
	return cmd
}

func runEverything(cmd *cobra.Command, flags *runFlags) (err error) {
	ctx := cmd.Context()
	out := cmd.OutOrStdout()
	if flags.proxies < 1 {
		return fmt.Errorf("--proxies is %d, give 1 or more", flags.proxies)
	}
	manifests, err := chooseManifests(flags)
	if err != nil {
		return err
	}
	if len(flags.endpoints) > 0 {
		printf(out, "wrote %s\n", manifests)
	}
	picker, err := loadPickerConfig(flags.configFile)
	if err != nil {
		return err
	}
	envoy, err := proxyfleet.FindEnvoy(ctx, flags.envoy)
	if err != nil {
		return err
	}
	dir, removeDir, err := showcase.WorkDir()
	if err != nil {
		return err
	}
	defer removeDir()
	s, err := showcase.Start(ctx, showcase.Options{
		Manifests:    manifests,
		Envoy:        envoy,
		Proxies:      flags.proxies,
		Admin:        flags.admin,
		Bind:         flags.bind,
		Dir:          dir,
		PickerConfig: picker,
		Model:        flags.model,
		Out:          out,
		Log:          newLog(cmd, true),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return showAndWait(ctx, cmd, s, flags.once)
}

// showAndWait sends the burst and, unless once, stays up until the end is asked for.
func showAndWait(ctx context.Context, cmd *cobra.Command, s *showcase.Showcase, once bool) error {
	out := cmd.OutOrStdout()
	printf(out, "\n")
	burstErr := s.Burst(ctx)
	if once {
		if burstErr == nil {
			printf(out, "\nall right\n")
		}
		return burstErr
	}
	if burstErr != nil {
		printf(cmd.ErrOrStderr(), "\nthe burst was not as it ought to be: %v\n", burstErr)
	}
	s.Summary()
	printf(out, "\nCtrl-C ends it.\n")
	select {
	case <-ctx.Done():
		printf(out, "\nstopping: requests in flight may end\n")
		return nil
	case <-s.Failed():
		return errors.New("a part of the control plane ended by itself")
	}
}

// chooseManifests gives the folder or file to run.
func chooseManifests(flags *runFlags) (string, error) {
	if len(flags.endpoints) > 0 {
		return showcase.WriteManifests(flags.writeTo, flags.port, flags.endpoints)
	}
	if flags.manifests != "" {
		if _, err := os.Stat(flags.manifests); err != nil {
			return "", fmt.Errorf("-f: %w", err)
		}
		return flags.manifests, nil
	}
	if _, err := os.Stat(filepath.FromSlash(quickstart)); err != nil {
		return "", fmt.Errorf("there is no %s here; name manifests with -f, or model servers with --endpoint", quickstart)
	}
	return quickstart, nil
}
