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
		err = printTable(time.Duration(*seconds*float64(time.Second)), *rounds, *inFlight)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// printTable measures each workload on each server.
func printTable(perServer time.Duration, rounds, inFlight int) error {
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
	loads := workloads()
	cost, err := measureAll(servers, loads, perServer, rounds)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "CPU ms per request, %d endpoints\tfloor\tfloor, own codec\tpicker\tpicker / floor\tpicker / floor, own codec\n", endpoints)
	for _, load := range loads {
		own := cost[load.name]
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.2f\n", load.name, own[floor], own[bareFloor], own[picker],
			own[picker]/own[floor], own[picker]/own[bareFloor])
	}
	table.Flush()
	for _, kind := range kinds {
		fmt.Printf("%s, 1 000 tokens out / 10 tokens out: %.2f\n", kind, cost[nameLongAnswer][kind]/cost[nameShortAnswer][kind])
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

// measureAll returns CPU milliseconds per request by workload and kind of server. In each round every workload and server
// has its turn, so that a machine that is busy for a while troubles all of them.
func measureAll(servers map[string]*server, loads []workload, perServer time.Duration, rounds int) (map[string]map[string]float64, error) {
	cost := map[string]map[string]float64{}
	for round := range rounds {
		for _, load := range loads {
			if cost[load.name] == nil {
				cost[load.name] = map[string]float64{}
			}
			for _, kind := range kinds {
				measured, err := servers[kind].measure(load, perServer/time.Duration(rounds))
				if err != nil {
					return nil, fmt.Errorf("round %d, %s, %s: %w", round, load.name, kind, err)
				}
				cost[load.name][kind] += measured / float64(rounds)
			}
		}
	}
	return cost, nil
}
