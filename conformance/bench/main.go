// Command bench measures a Gateway API control plane of any make, by its GatewayClass, on the cluster it runs in.
//
// The package only reads flags, heeds signals and wires the other packages together. It must run where the Gateway's address can be
// reached.
//
//	flags -> cases.Bench -> table on stdout, JSON in --out; progress on stderr
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	// The client library's own log lines are of no use here; errors are returned.
	log.SetLogger(logr.Discard())
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go obey(signals, time.Now, cancel, func() {
		logger.Error("ended without cleaning up: delete the namespace by hand")
		os.Exit(1)
	})
	if err := command(logger).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
