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
	"slices"
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
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.2f\n", load.name, own[floor].cpu, own[bareFloor].cpu, own[picker].cpu,
			own[picker].cpu/own[floor].cpu, own[picker].cpu/own[bareFloor].cpu)
	}
	fmt.Fprintf(table, "\t\t\t\t\t\nwait for a pick\tp50\tp99\tp99 / p50\tof the floor: p50\tp99\n")
	for _, load := range loads {
		ours, least := cost[load.name][picker].waited, cost[load.name][floor].waited
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%s\t%s\n", load.name, quantile(ours, .5), quantile(ours, .99),
			quantile(ours, .99).Seconds()/quantile(ours, .5).Seconds(), quantile(least, .5), quantile(least, .99))
	}
	table.Flush()
	fmt.Println()
	for _, kind := range kinds {
		fmt.Printf("%s, 1 000 tokens out / 10 tokens out: %.2f\n", kind, cost[nameLongAnswer][kind].cpu/cost[nameShortAnswer][kind].cpu)
	}
	one := oneCore()
	got, cores, err := measureOneCore(pages.port, one, perServer)
	if err != nil {
		return err
	}
	fmt.Printf("picker on one core, %s: wait for a pick p50 %s, p95 %s, p99 %s; %.2f cores\n", one.name,
		quantile(got.waited, .5), quantile(got.waited, .95), quantile(got.waited, .99), cores)
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

// measureAll returns what a request costs by workload and kind of server. In each round every workload and server
// has its turn, so that a machine that is busy for a while troubles all of them.
func measureAll(servers map[string]*server, loads []workload, perServer time.Duration, rounds int) (map[string]map[string]measured, error) {
	cost := map[string]map[string]measured{}
	for round := range rounds {
		for _, load := range loads {
			if cost[load.name] == nil {
				cost[load.name] = map[string]measured{}
			}
			for _, kind := range kinds {
				turn, err := servers[kind].measure(load, perServer/time.Duration(rounds))
				if err != nil {
					return nil, fmt.Errorf("round %d, %s, %s: %w", round, load.name, kind, err)
				}
				sum := cost[load.name][kind]
				sum.cpu += turn.cpu / float64(rounds)
				sum.waited = append(sum.waited, turn.waited...)
				cost[load.name][kind] = sum
			}
		}
	}
	return cost, nil
}

// quantile gives the value below which the share q of the values lies.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Microsecond)
}
