package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/internal/report"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

func newStatus() *cobra.Command {
	var manifests string
	cmd := &cobra.Command{
		Use:   "status -f DIR",
		Short: "Show the conditions of manifests as a tree",
		Long: `Shows classes, Gateways, listeners, routes and pools below each other with their conditions, and spells out
what is wrong. Ends with status 1 when a condition is not as it ought to be or a manifest could not be used.`,
		Example: "  controlplane status -f examples/quickstart",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			update, err := file.Load(manifests)
			if err != nil {
				return err
			}
			statuses := gatewayapi.Build(update.Objects, gatewayapi.Options{}).Statuses
			healthy, err := report.Tree(cmd.OutOrStdout(), update.Objects, statuses)
			if err != nil {
				return err
			}
			if err := reportProblems(cmd.ErrOrStderr(), update); err != nil {
				return err
			}
			if !healthy {
				return errReported
			}
			return nil
		},
	}
	manifestsFlag(cmd, &manifests, "")
	_ = cmd.MarkFlagRequired("filename")
	return cmd
}

// reportProblems prints what is wrong with the input; errReported when anything is.
func reportProblems(w io.Writer, update source.Update) error {
	for _, p := range update.Warnings {
		printf(w, "warning: %s\n", p.Error())
	}
	for _, p := range update.Problems {
		printf(w, "error: %s\n", p.Error())
	}
	if len(update.Problems) > 0 {
		return errReported
	}
	return nil
}
