// Command custom-plugin is an endpoint picker with a plugin of its own, "rack-scorer": it prefers model servers in the rack that a
// request names. Everything else is the picker as it is: the plugin is registered, and configurations may name it.
//
//	go run ./examples/custom-plugin -config examples/custom-plugin/picker.yaml -endpoints 127.0.0.1:8001=r1,127.0.0.1:8002=r2
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9002", "where proxies reach the picker")
	file := flag.String("config", "picker.yaml", "EndpointPickerConfig")
	endpoints := flag.String("endpoints", "", "model servers: ip:port=rack,...")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), listener, *file, parse(*endpoints)); err != nil {
		log.Fatal(err)
	}
}

// run serves until the context ends.
func run(ctx context.Context, listener net.Listener, file string, endpoints []datalayer.Spec) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	cfg, err := config.Load(text)
	if err != nil {
		return err
	}
	var scrape datalayer.Options
	cfg.Apply(&scrape)
	pools := datalayer.New(scrape)
	pools.Set("default/pool", endpoints)
	picker, err := epp.New(epp.Options{Pools: pools, Config: cfg})
	if err != nil {
		return err
	}
	server := picker.GRPCServer()
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, server.Stop)
	group.Go(func() error { return picker.Run(ctx) })
	group.Go(func() error { return server.Serve(listener) })
	return group.Wait()
}

// parse reads "ip:port=rack,...".
func parse(list string) []datalayer.Spec {
	var specs []datalayer.Spec
	for item := range strings.SplitSeq(list, ",") {
		if address, rack, ok := strings.Cut(item, "="); ok {
			specs = append(specs, datalayer.Spec{Name: address, Namespace: "default", Address: address, Labels: map[string]string{"rack": rack}})
		}
	}
	return specs
}
