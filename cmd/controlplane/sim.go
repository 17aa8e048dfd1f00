package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/internal/sim"
)

func newSim() *cobra.Command {
	server := sim.NewCommand()
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run simulated model servers",
		Long: `Runs one or many simulated model servers. They speak the OpenAI API and vLLM's metrics, hold a prefix cache,
take time to prefill and to decode, and queue when they are full; what they say is made up.`,
		Example: "  controlplane sim --model Qwen/Qwen3-8B --port 8000\n  controlplane sim --count 4 --port 8000 --inter-token 20ms",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.Run(cmd.Context(), func(addresses []string) {
				printf(cmd.OutOrStdout(), "serving %s on %s\n", server.Config.Model, strings.Join(addresses, ", "))
			})
		},
	}
	server.AddFlags(cmd.Flags())
	return cmd
}
