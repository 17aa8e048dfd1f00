package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/reload"
)

func newValidate(name string) *cobra.Command {
	var experimental bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check EndpointPickerConfig files",
		Long: `Reads each file as the picker would, and prints what is wrong with the path of the field, and what has no effect.
- is standard input. Ends with status 1 when a file cannot be used.`,
		Example: "  " + name + " validate config.yaml\n  helm template . | yq '.data[\"config.yaml\"]' | " + name + " validate -",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			options := config.Options{RefuseExperimental: !experimental}
			refused := 0
			for _, file := range files {
				if !validateFile(cmd, file, options) {
					refused++
				}
			}
			if refused > 0 {
				return fmt.Errorf("%d of %d files cannot be used", refused, len(files))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&experimental, "allow-experimental-plugins", false, "permit plugins that may change or go in any version")
	return cmd
}

func validateFile(cmd *cobra.Command, file string, options config.Options) bool {
	text, name, err := readArgument(cmd, file)
	if err != nil {
		printf(cmd.ErrOrStderr(), "%s: error: %v\n", name, err)
		return false
	}
	loaded, err := config.LoadWith(text, options)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			printf(cmd.ErrOrStderr(), "%s: error: %s\n", name, strings.TrimSpace(line))
		}
		return false
	}
	for _, warning := range loaded.Warnings {
		printf(cmd.ErrOrStderr(), "%s: warning: %s\n", name, warning)
	}
	printf(cmd.OutOrStdout(), "%s: valid\n", name)
	return true
}

func readArgument(cmd *cobra.Command, file string) (text []byte, name string, err error) {
	if file != "-" {
		text, err = reload.Read(file)
		return text, file, err
	}
	text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), reload.MaxBytes))
	return text, "standard input", err
}

func newSchema(name string) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of EndpointPickerConfig, for editors",
		Long: `Prints the JSON schema of EndpointPickerConfig. Editors with the YAML language server complete and check a file that begins with
"# yaml-language-server: $schema=FILE".`,
		Example: "  " + name + " schema > endpointpickerconfig.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", schema)
			return err
		},
	}
}

// printf writes to a person; a broken pipe there is not worth failing for.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
