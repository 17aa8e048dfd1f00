package datalayer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func BenchmarkReadPage(b *testing.B) {
	text, r, p := vllmPage(), newEngines(nil, "", "").unnamed, &page{}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.read(text, p)
	}
}

// BenchmarkScrapers compares the CPU of the scraper with that of a bare client that gets the same pages, from another
// process, at the same cadence: 100 servers, idle and with traffic.
func BenchmarkScrapers(b *testing.B) {
	const servers = 100
	addresses := startPageServer(b, servers)
	for _, tc := range []struct {
		name     string
		interval time.Duration
		length   time.Duration
	}{{"idle, 1 s", time.Second, 5 * time.Second}, {"traffic, 50 ms", 50 * time.Millisecond, 2 * time.Second}} {
		b.Run(tc.name, func(b *testing.B) {
			for range b.N {
				floor, floorPages := measureCPU(tc.length, func(ctx context.Context) int { return getPages(ctx, addresses, tc.interval) })
				ours, ourPages := measureCPU(tc.length, func(ctx context.Context) int { return scrapePages(ctx, addresses, tc.interval) })
				b.ReportMetric(floor.Seconds()/tc.length.Seconds(), "floor-cores")
				b.ReportMetric(ours.Seconds()/tc.length.Seconds(), "cores")
				b.ReportMetric(float64(floor.Microseconds())/float64(floorPages), "floor-µs/page")
				b.ReportMetric(float64(ours.Microseconds())/float64(ourPages), "µs/page")
				b.ReportMetric(ours.Seconds()/float64(ourPages)/(floor.Seconds()/float64(floorPages)), "ratio")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// measureCPU tells the CPU time of this process while f runs, and how many pages f got.
func measureCPU(length time.Duration, f func(context.Context) int) (time.Duration, int) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	before := cpuTime()
	pages := f(ctx)
	return cpuTime() - before, max(pages, 1)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// getPages is the floor: one loop that gets one page after the other and throws it away.
func getPages(ctx context.Context, addresses []string, interval time.Duration) (pages int) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(interval / time.Duration(len(addresses)))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return pages
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addresses[i%len(addresses)]+"/metrics", nil)
		if err != nil {
			return pages
		}
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		pages++
	}
}

// scrapePages is the scraper, with its own client.
func scrapePages(ctx context.Context, addresses []string, interval time.Duration) int {
	o := Options{Interval: interval, IdleInterval: interval}
	client := newClient(TLS{}, time.Second, slog.Default())
	count := &counting{next: client.Transport}
	client.Transport = count
	o.Client = client
	p := New(o)
	specs := make([]Spec, len(addresses))
	for i, a := range addresses {
		specs[i] = spec(fmt.Sprintf("e-%d", i), a)
	}
	p.Set("ns/pool", specs)
	_ = p.Run(ctx)
	client.CloseIdleConnections()
	return int(count.n.Load())
}

// counting counts requests.
type counting struct {
	next http.RoundTripper
	n    atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.next.RoundTrip(r)
}

func (c *counting) CloseIdleConnections() { c.next.(*http.Transport).CloseIdleConnections() }

// pageServerEnv makes the test binary a process that serves pages, so that serving them is not measured.
const pageServerEnv = "SWITCHYARD_TEST_PAGE_SERVERS"

// startPageServer starts that process; it ends when the benchmark closes its input.
func startPageServer(b *testing.B, n int) []string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", pageServerEnv, n))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.Fields(line)
}

// servePages serves pages on as many ports as the environment says until its input ends.
func servePages() {
	var n int
	_, _ = fmt.Sscan(os.Getenv(pageServerEnv), &n)
	text := vllmPage()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write(text)
	})
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		go func() { _ = http.Serve(l, handler) }()
		fmt.Print(l.Addr(), " ")
	}
	fmt.Println()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
