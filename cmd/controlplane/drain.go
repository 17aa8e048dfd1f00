package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/proxyfleet/drain"
)

func newDrain() *cobra.Command {
	var admin string
	var settle, limit time.Duration
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Wait for SIGTERM, then let the proxy beside it finish its requests",
		Long: `Runs beside the Envoy of a fleet's pod and does nothing until SIGTERM. Then it takes the proxy out of its
Service, goes on serving until the requests that are open have ended, and ends itself; Kubernetes ends the proxy
after it.`,
		Example: "  controlplane drain --admin 127.0.0.1:19000 --limit 5m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := netip.ParseAddrPort(admin)
			if err != nil {
				return fmt.Errorf("--admin: %w; give an address and a port, such as 127.0.0.1:19000", err)
			}
			log := newLog(cmd, false)
			<-cmd.Context().Done()
			err = drain.Pod(context.WithoutCancel(cmd.Context()), drain.PodOptions{
				Admin: drain.Admin{Address: address}, Settle: settle, Limit: limit, Log: log,
			})
			if err != nil {
				log.Warn("the proxy ends before its requests did", "error", err)
			} else {
				log.Info("drained")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&admin, "admin", "127.0.0.1:19000", "address of the proxy's admin interface")
	f.DurationVar(&settle, "settle", drain.DefaultSettle, "how long to serve new connections after readiness failed")
	f.DurationVar(&limit, "limit", 5*time.Minute, "how long to wait for open requests after that")
	return cmd
}
