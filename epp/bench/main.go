// Command bench measures what the picker's ext_proc service costs, as ratios to a floor: an ext_proc server that reads the
// same messages and answers a constant. Both run as processes of their own (this binary, started again), so that the CPU
// measured is theirs alone, and take turns, so that a noisy machine troubles both.
//
//	driver -> messages of a workload -> server process (picker, floor) -> CPU time -> table
package main

import (
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	serve := flag.String("serve", "", "internal: be the server of this kind and report to the parent process")
	metrics := flag.String("metrics", "", "internal: port of the simulated metrics pages")
	seconds := flag.Float64("seconds", 6, "time per workload and server")
	rounds := flag.Int("rounds", 3, "turns that each server takes within that time")
	inFlight := flag.Int("inflight", 10_000, "requests in flight of the memory row, 0 to leave it out")
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveUntilParentIsGone(*serve, *metrics)
	} else {
		err = run(time.Duration(*seconds*float64(time.Second)), *rounds, *inFlight)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run prints the table.
func run(perServer time.Duration, rounds, inFlight int) error {
	pages, err := startPages()
	if err != nil {
		return err
	}
	defer pages.stop()
	servers := map[string]*server{}
	for _, kind := range kinds {
		started, err := startServer(kind, pages.port)
		if err != nil {
			return err
		}
		defer started.stop()
		servers[kind] = started
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "CPU ms per request, %d endpoints\tfloor\tfloor, own codec\tpicker\tpicker / floor\tpicker / floor, own codec\n", endpoints)
	for _, load := range workloads() {
		cost := map[string]float64{}
		for range rounds {
			for _, kind := range kinds {
				measured, err := servers[kind].measure(load, perServer/time.Duration(rounds))
				if err != nil {
					return fmt.Errorf("%s, %s: %w", load.name, kind, err)
				}
				cost[kind] += measured / float64(rounds)
			}
		}
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.2f\n", load.name, cost[floor], cost[bareFloor], cost[picker],
			cost[picker]/cost[floor], cost[picker]/cost[bareFloor])
		table.Flush()
	}
	if inFlight == 0 {
		return nil
	}
	for _, kind := range []string{floor, picker} {
		perRequest, err := measureMemory(kind, pages.port, inFlight)
		if err != nil {
			return fmt.Errorf("memory, %s: %w", kind, err)
		}
		fmt.Printf("memory, %s, %d requests in flight: %.1f KiB per request above idle\n", kind, inFlight, perRequest/1024)
	}
	return nil
}
