// Command summary prints what conformance reports say: a row for each profile, then the names of the tests that failed or were skipped.
//
// It must not judge by itself: it shows the numbers that a suite wrote, and fails when a report shows a core test that failed or was
// skipped, or an extended one that failed.
//
//	report files -> table on stdout, exit code
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	err := summarize(os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
}

func summarize(out io.Writer, files []string) error {
	if len(files) == 0 {
		return errors.New("no report given; name the files that the suites wrote")
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "profile\tcore passed\tfailed\tskipped\textended passed\tfailed\tskipped\tfeatures\tunsupported")
	var notes []string
	var failed int
	for _, file := range files {
		report, err := read(file)
		if err != nil {
			return err
		}
		for _, profile := range report.ProfileReports {
			writeRow(table, profile)
			notes = append(notes, notesOn(profile)...)
			if !passed(profile) {
				failed++
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(out, note)
	}
	if failed > 0 {
		return fmt.Errorf("%d profiles did not pass", failed)
	}
	return nil
}

// read takes the reports of both suites: that of the Inference Extension has one more field.
func read(file string) (*confv1.ConformanceReport, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	report := &confv1.ConformanceReport{}
	if err := yaml.Unmarshal(content, report); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(report.ProfileReports) == 0 {
		return nil, fmt.Errorf("%s: names no profile, so no test has counted", file)
	}
	return report, nil
}

func passed(p confv1.ProfileReport) bool {
	if p.Core.Failed > 0 || p.Core.Skipped > 0 || p.Core.Passed == 0 {
		return false
	}
	return p.Extended == nil || p.Extended.Failed == 0
}

func writeRow(out io.Writer, p confv1.ProfileReport) {
	fmt.Fprintf(out, "%s\t%d\t%d\t%d", p.Name, p.Core.Passed, p.Core.Failed, p.Core.Skipped)
	if p.Extended == nil {
		fmt.Fprintln(out, "\t-\t-\t-\t-\t-")
		return
	}
	fmt.Fprintf(out, "\t%d\t%d\t%d\t%d\t%d\n", p.Extended.Passed, p.Extended.Failed, p.Extended.Skipped,
		len(p.Extended.SupportedFeatures), len(p.Extended.UnsupportedFeatures))
}

func notesOn(p confv1.ProfileReport) []string {
	var notes []string
	note := func(what string, names []string) {
		if len(names) > 0 {
			notes = append(notes, fmt.Sprintf("%s, %s: %s", p.Name, what, strings.Join(names, " ")))
		}
	}
	note("core tests failed", p.Core.FailedTests)
	note("core tests skipped", p.Core.SkippedTests)
	if p.Extended != nil {
		note("extended tests failed", p.Extended.FailedTests)
		note("extended tests skipped", p.Extended.SkippedTests)
		note("unsupported features", p.Extended.UnsupportedFeatures)
	}
	return notes
}
