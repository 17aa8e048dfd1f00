//go:build quickstart

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var errQuickstart = errors.New("this program was built for the quickstart, without what speaks to a cluster; `make build` builds all of it")

// production are the commands that this program is without. The libraries that speak to a cluster are most of what there is to compile.
func production() []*cobra.Command {
	var commands []*cobra.Command
	for _, name := range []string{"serve", "epp"} {
		commands = append(commands, &cobra.Command{
			Use: name, Short: "Not in this program, which was built for the quickstart", DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error { return errQuickstart },
		})
	}
	return commands
}
