package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

// Command is one or many simulators as a command line describes them.
type Command struct {
	Config Config
	Host   string
	Port   int
	Count  int
}

// NewCommand is a Command with the defaults of the flags.
func NewCommand() *Command {
	return &Command{Config: Config{}.withDefaults(), Port: 8000, Count: 1}
}

// AddFlags defines the command's flags; they show its present values as defaults.
func (c *Command) AddFlags(fs *pflag.FlagSet) {
	cfg := &c.Config
	fs.StringVar(&c.Host, "host", c.Host, "address to listen on; empty means all")
	fs.IntVar(&c.Port, "port", c.Port, "port to listen on; 0 picks a free one")
	fs.IntVar(&c.Count, "count", c.Count, "number of servers, on consecutive ports from --port on")
	fs.StringVar(&cfg.Name, "name", cfg.Name, "name answered in x-sim-endpoint, numbered with --count; empty means host:port")
	fs.StringVar(&cfg.Model, "model", cfg.Model, "name of the base model")
	fs.StringSliceVar(&cfg.LoRA, "lora", cfg.LoRA, "names of LoRA adapters, comma-separated or repeated")
	fs.IntVar(&cfg.MaxLoRA, "max-lora", cfg.MaxLoRA, "adapters that run at the same time; 0 means all")
	fs.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "chooses the texts; the same seed and prompt give the same answer")
	fs.IntVar(&cfg.BlockTokens, "block-tokens", cfg.BlockTokens, "size of a KV cache block in tokens")
	fs.IntVar(&cfg.CacheBlocks, "cache-blocks", cfg.CacheBlocks, "size of the KV cache in blocks; it bounds prompt plus output")
	fs.IntVar(&cfg.MaxRunning, "max-running", cfg.MaxRunning, "requests that run at the same time; others wait")
	fs.IntVar(&cfg.MaxWaiting, "max-waiting", cfg.MaxWaiting, "requests that may wait, others are answered 503; 0 means any number")
	fs.Float64Var(&cfg.PrefillTokensPerSecond, "prefill-tokens-per-second", cfg.PrefillTokensPerSecond,
		"uncached prompt tokens that the server computes in a second")
	fs.DurationVar(&cfg.FirstToken, "first-token", cfg.FirstToken, "time between a prefill and its first output token")
	fs.DurationVar(&cfg.InterToken, "inter-token", cfg.InterToken, "time from one output token to the next")
	fs.Float64Var(&cfg.Jitter, "jitter", cfg.Jitter, "fraction by which --inter-token varies, 0 to 1")
	fs.Float64Var(&cfg.TimeScale, "time-scale", cfg.TimeScale,
		"multiplies every simulated duration; 0.1 is ten times as fast, 1e-9 does not wait")
	fs.DurationVar(&cfg.Drain, "drain", cfg.Drain, "how long requests in flight may go on at shutdown")
	fs.BoolVar(&cfg.Echo, "echo", cfg.Echo, "answer unknown paths with the request as it arrived, as /echo does")
}

// Validate names the first flag that cannot be meant.
func (c *Command) Validate() error {
	switch {
	case c.Count < 1:
		return fmt.Errorf("--count is %d, give 1 or more", c.Count)
	case c.Port < 0 || c.Port > 65535 || (c.Port > 0 && c.Port+c.Count-1 > 65535):
		return fmt.Errorf("--port is %d and --count %d, give ports from 0 to 65535", c.Port, c.Count)
	}
	return c.Config.Validate()
}

// Instance is one server of a Command: its configuration, and where it listens as host:port.
type Instance struct {
	Config Config
	Listen string
}

// Instances lists the servers of the command.
func (c *Command) Instances() []Instance {
	out := make([]Instance, c.Count)
	for i := range out {
		cfg, port := c.Config, c.Port
		if c.Count > 1 && cfg.Name != "" {
			cfg.Name += "-" + strconv.Itoa(i)
		}
		if port > 0 {
			port += i
		}
		out[i] = Instance{Config: cfg, Listen: net.JoinHostPort(c.Host, strconv.Itoa(port))}
	}
	return out
}

// Run serves all servers of the command until the context ends. It calls ready once, with the addresses, when
// all of them listen; when one cannot, or fails later, all are stopped.
func (c *Command) Run(ctx context.Context, ready func(addresses []string)) error {
	if err := c.Validate(); err != nil {
		return err
	}
	instances := c.Instances()
	listeners := make([]net.Listener, 0, len(instances))
	addresses := make([]string, 0, len(instances))
	for _, in := range instances {
		l, err := net.Listen("tcp", in.Listen)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("simulator: %w", err)
		}
		listeners = append(listeners, l)
		addresses = append(addresses, l.Addr().String())
	}
	ready(addresses)
	group, ctx := errgroup.WithContext(ctx)
	for i, in := range instances {
		group.Go(func() error { return New(in.Config).Serve(ctx, listeners[i]) })
	}
	return group.Wait()
}

// ParseArgs reads the command line of a container that is one simulator, such as
//
//	sim --model Qwen/Qwen3-8B --port 8000
//
// with or without the leading word, and says what to serve and where (host:port, the host empty unless given).
func ParseArgs(args []string) (Config, string, error) {
	if len(args) > 0 && args[0] == "sim" {
		args = args[1:]
	}
	c := NewCommand()
	fs := pflag.NewFlagSet("sim", pflag.ContinueOnError)
	fs.Usage = func() {} // the error says it
	c.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		return Config{}, "", fmt.Errorf("simulator arguments: %w", err)
	}
	if fs.NArg() > 0 {
		return Config{}, "", fmt.Errorf("simulator arguments: %q is no flag, remove it", fs.Arg(0))
	}
	if c.Count != 1 {
		return Config{}, "", errors.New("simulator arguments: --count is for the command line, give each container its own arguments")
	}
	if err := c.Validate(); err != nil {
		return Config{}, "", err
	}
	in := c.Instances()[0]
	return in.Config, in.Listen, nil
}
