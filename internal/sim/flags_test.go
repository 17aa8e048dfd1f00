package sim

import (
	"context"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseArgs(t *testing.T) {
	cfg, listen, err := ParseArgs([]string{"sim", "--model", "Qwen/Qwen3-8B", "--port", "8001"})
	if err != nil || listen != ":8001" || !reflect.DeepEqual(cfg, Config{}.withDefaults()) {
		t.Errorf("%+v, %q, %v", cfg, listen, err)
	}
	cfg, listen, err = ParseArgs(strings.Fields("--host 127.0.0.1 --name n --model m --lora a,b --lora c --max-lora 2 --seed 7 " +
		"--block-tokens 32 --cache-blocks 100 --max-running 3 --max-waiting 4 --prefill-tokens-per-second 5e3 --first-token 1ms " +
		"--inter-token 2ms --jitter 0.1 --time-scale 0.5 --drain 3s --echo"))
	want := Config{Name: "n", Model: "m", LoRA: []string{"a", "b", "c"}, MaxLoRA: 2, Seed: 7, BlockTokens: 32, CacheBlocks: 100,
		MaxRunning: 3, MaxWaiting: 4, PrefillTokensPerSecond: 5000, FirstToken: time.Millisecond, InterToken: 2 * time.Millisecond,
		Jitter: 0.1, TimeScale: 0.5, Drain: 3 * time.Second, Echo: true}
	if err != nil || listen != "127.0.0.1:8000" || !reflect.DeepEqual(cfg, want) {
		t.Errorf("%+v, %q, %v", cfg, listen, err)
	}
	for args, says := range map[string]string{
		"--nonsense":                      "--nonsense",
		"serve --port 1":                  `"serve"`,
		"--count 2":                       "--count",
		"--port 70000":                    "--port",
		"--jitter 2":                      "jitter",
		"--time-scale -1":                 "time scale",
		"--prefill-tokens-per-second NaN": "prefill",
		"--lora a,a":                      `"a"`,
		"--model m --lora m":              `"m"`,
		"--cache-blocks -5":               "cache blocks",
	} {
		if _, _, err := ParseArgs(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", args, err)
		}
	}
}

func TestCommandInstances(t *testing.T) {
	c := NewCommand()
	c.Host, c.Port, c.Count, c.Config.Name = "::1", 9000, 3, "gpu"
	var got []string
	for _, in := range c.Instances() {
		got = append(got, in.Config.Name+" "+in.Listen)
	}
	if want := "gpu-0 [::1]:9000, gpu-1 [::1]:9001, gpu-2 [::1]:9002"; strings.Join(got, ", ") != want {
		t.Errorf("instances %v, want %s", got, want)
	}
}

func TestCommandRunsManyServers(t *testing.T) {
	c := NewCommand()
	c.Host, c.Port, c.Count, c.Config.Name = "127.0.0.1", 0, 3, "gpu"
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan []string, 1), make(chan error, 1)
	go func() { done <- c.Run(ctx, func(a []string) { ready <- a }) }()
	names := ""
	for _, address := range <-ready {
		resp, err := http.Get("http://" + address + "/health")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		names += resp.Header.Get("x-sim-endpoint") + " "
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil || names != "gpu-0 gpu-1 gpu-2 " {
		t.Errorf("servers %s, error %v", names, err)
	}
}

func TestCommandFailsWhenAPortIsTaken(t *testing.T) {
	r := start(t, Config{})
	address, err := netip.ParseAddrPort(strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewCommand()
	c.Host, c.Port = address.Addr().String(), int(address.Port())
	err = c.Run(context.Background(), func([]string) { t.Error("ready on a taken port") })
	if err == nil || !strings.Contains(err.Error(), address.String()) {
		t.Errorf("error %v", err)
	}
}
