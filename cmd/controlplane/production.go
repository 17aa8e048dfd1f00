//go:build !quickstart

package main

import (
	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/epp/command"
)

// production are the commands that may speak to a cluster. The program for the quickstart is built without them.
func production() []*cobra.Command {
	return []*cobra.Command{newServe(), command.New(command.Options{Name: "controlplane epp", Version: version, Commit: commit})}
}
