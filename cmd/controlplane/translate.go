package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/internal/report"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/envoy"
)

func newTranslate() *cobra.Command {
	var manifests, output string
	var pickers []string
	cmd := &cobra.Command{
		Use:   "translate -f DIR",
		Short: "Print the xDS that manifests come to, and the statuses",
		Long: `Prints every xDS resource that the manifests come to, with its version (the hash of its bytes), the objects
it was made from and the resources it needs, and the wanted status of every object. Private keys are left out.
Ends with status 1 when a manifest could not be used.`,
		Example: "  controlplane translate -f examples/quickstart\n  controlplane translate -f examples/quickstart -o json | jq '.views[].resources[].name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, err := parseAddresses("picker", pickers)
			if err != nil {
				return err
			}
			update, err := file.Load(manifests)
			if err != nil {
				return err
			}
			out, err := translate.Compile(update.Objects, translate.Options{Envoy: envoy.Options{Pickers: addresses}})
			if err != nil {
				return err
			}
			if err := report.Translation(cmd.OutOrStdout(), report.Format(output), update, out); err != nil {
				return err
			}
			return reportProblems(cmd.ErrOrStderr(), update)
		},
	}
	manifestsFlag(cmd, &manifests, "")
	cmd.Flags().StringVarP(&output, "output", "o", string(report.YAML), "yaml or json")
	cmd.Flags().StringSliceVar(&pickers, "picker", []string{"127.0.0.1:9002"}, "addresses of the endpoint pickers that proxies would ask")
	_ = cmd.MarkFlagRequired("filename")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// parseAddresses reads the values of a flag that lists IP:PORT.
func parseAddresses(flag string, texts []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range texts {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: %w; give IP:PORT", flag, text, err)
		}
		out = append(out, a)
	}
	return out, nil
}
