package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/conformance/bench/cases"
	"github.com/switchyard/switchyard/conformance/bench/environment"
	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/usage"
)

// defaultImage is the echo server of the upstream conformance suite.
const defaultImage = "registry.k8s.io/gateway-api/echo-basic:v1.5.1"

// settings are the flags.
type settings struct {
	bench        cases.Bench
	stage        stage.Stage
	kubeconfig   string
	controlPlane string
	dataPlane    string
	out          string
	limit        time.Duration
}

const long = `bench measures a Gateway API control plane, of any make, on the cluster it runs in.

  attached     many HTTPRoutes come to one Gateway and go: time, and number of status writes
  rest         nothing happens: CPU and memory of the control plane and of the proxies
  propagation  new routes, one after the other: time from apply to the first right answer, wrong answers by code
  flips        one route alternates between two ports under load: wrong, mixed and stale answers

The routes of "attached" stay in place during the other cases. Everything is made in a namespace of its own, which is
deleted at the end, also after an error or a signal. The program must run where the Gateway's address can be reached.

Selectors of pods are namespace/label=value, */label=value (all namespaces) or namespace/ (all its pods), separated by
commas; {namespace} and {gateway} stand for the names that the benchmark gives its own.`

func command(log *slog.Logger) *cobra.Command {
	s := &settings{}
	c := &cobra.Command{
		Use:           "bench --gateway-class NAME",
		Short:         "Measure a Gateway API control plane",
		Long:          long,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.run(c, log)
		},
	}
	s.flags(c.Flags())
	// Cobra's own error names the missing flag.
	_ = c.MarkFlagRequired("gateway-class")
	return c
}

func (s *settings) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	b, st := &s.bench, &s.stage
	f.StringVar(&st.Class, "gateway-class", "", "GatewayClass to measure")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config, or the pod's own account)")
	f.StringVar(&st.Namespace, "namespace", "", "namespace to make, and to delete at the end (default: bench- and a number)")
	f.StringSliceVar(&b.Only, "only", cases.All(), "cases to run")
	f.StringVarP(&s.out, "out", "o", "", "file for the JSON results")
	f.DurationVar(&s.limit, "limit", time.Hour, "bound of the whole run, cleaning up not included")

	f.IntVar(&b.Routes, "routes", 1000, "HTTPRoutes in place")
	f.IntVar(&st.Workers, "workers", 8, "requests to the API server at once, when many objects are made or deleted")
	f.DurationVar(&b.Quiet, "quiet", 3*time.Second, "time without a status write after which a set-up or tear-down is over")
	f.DurationVar(&st.Patience, "patience", 5*time.Minute, "bound of each wait for the control plane")

	f.IntVar(&b.Propagation.Routes, "propagation-routes", 200, "new routes to probe")
	f.DurationVar(&b.Propagation.Every, "propagation-every", 5*time.Millisecond, "time between two requests")
	f.IntVar(&b.Propagation.Consecutive, "consecutive", 8, "right answers in a row that settle a route; 1 is enough when there is one proxy")
	f.DurationVar(&b.Propagation.Limit, "propagation-limit", time.Minute, "bound of the wait for one route")

	f.IntVar(&b.Flips.Count, "flips", 50, "changes of the route under load")
	f.IntVar(&b.Flips.Connections, "flip-connections", 4, "connections with back-to-back requests")
	f.DurationVar(&b.Flips.Every, "flip-every", 1500*time.Millisecond, "time from one change to the next")
	f.DurationVar(&b.Flips.Bound, "flip-bound", time.Second, "time after a change during which old answers are not stale")
	f.DurationVar(&b.Flips.Churn, "flip-churn", 0, "also scale the backend up and down this often (0: do not)")

	f.DurationVar(&b.RestFor, "rest-for", 30*time.Second, "time of rest")
	f.StringVar(&s.controlPlane, "control-plane-selector", "", "pods of the control plane, for the case rest")
	f.StringVar(&s.dataPlane, "proxy-selector", "{namespace}/gateway.networking.k8s.io/gateway-name={gateway}", "pods of the proxies")

	f.StringVar(&st.Image, "backend-image", defaultImage, "echo server")
	f.Int32Var(&st.ListenerPort, "listener-port", 80, "port of the Gateway's listener")
	f.StringVar(&b.Address, "address", "", "host:port to ask, in place of the address in the Gateway's status")
	f.DurationVar(&b.RequestTimeout, "request-timeout", 5*time.Second, "bound of one request to the proxy")
	f.DurationVar(&b.CleanUp, "clean-up", 5*time.Minute, "bound of the cleaning up")
}

// check completes the settings, or tells what cannot be meant.
func (s *settings) check() (err error) {
	for _, name := range s.bench.Only {
		if !slices.Contains(cases.All(), name) {
			return fmt.Errorf("--only: there is no case %q; there are %s", name, strings.Join(cases.All(), ", "))
		}
	}
	if s.bench.Routes < 0 || s.bench.Propagation.Routes < 0 || s.bench.Flips.Count < 0 {
		return errors.New("--routes, --propagation-routes and --flips cannot be negative")
	}
	if s.bench.Propagation.Consecutive < 1 || s.bench.Flips.Connections < 1 {
		return errors.New("--consecutive and --flip-connections have to be at least 1")
	}
	if s.bench.Propagation.Every <= 0 {
		return errors.New("--propagation-every has to be more than 0")
	}
	if s.bench.Flips.Bound >= s.bench.Flips.Every {
		return fmt.Errorf("--flip-bound (%v) has to be less than --flip-every (%v), or no answer could be stale", s.bench.Flips.Bound, s.bench.Flips.Every)
	}
	if s.stage.Namespace == "" {
		s.stage.Namespace = fmt.Sprintf("bench-%06d", rand.IntN(1e6))
	}
	names := strings.NewReplacer("{namespace}", s.stage.Namespace, "{gateway}", stage.GatewayName)
	if s.bench.ControlPlane, err = usage.ParseSelectors(names.Replace(s.controlPlane)); err != nil {
		return fmt.Errorf("--control-plane-selector: %w", err)
	}
	if s.bench.DataPlane, err = usage.ParseSelectors(names.Replace(s.dataPlane)); err != nil {
		return fmt.Errorf("--proxy-selector: %w", err)
	}
	return nil
}

func (s *settings) run(c *cobra.Command, log *slog.Logger) error {
	if err := s.check(); err != nil {
		return err
	}
	kube, info, err := s.connect(log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), s.limit, fmt.Errorf("the run took longer than --limit %v", s.limit))
	defer cancel()
	r := &results.Results{
		Started: time.Now().UTC(), GatewayClass: s.stage.Class, Settings: given(c.Flags()),
		Machine: environment.Machine(ctx, kube), Versions: environment.Versions(ctx, kube, info),
	}
	runErr := s.bench.Run(ctx, r)
	r.Finished = time.Now().UTC()
	return errors.Join(runErr, s.report(c, r))
}

// connect makes the clients. The API client is not slowed down on its own side: it is the cluster that is measured.
func (s *settings) connect(log *slog.Logger) (client.Client, discovery.ServerVersionInterface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("read the kubeconfig (--kubeconfig): %w", err)
	}
	config.QPS = -1
	config.UserAgent = "gateway-bench"
	if err := gatewayv1.Install(scheme.Scheme); err != nil {
		return nil, nil, fmt.Errorf("know the Gateway API: %w", err)
	}
	kube, err := client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("reach the API server %s: %w", config.Host, err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the API server %s: %w", config.Host, err)
	}
	s.stage.Client, s.stage.Log = kube, log
	s.bench.Stage, s.bench.Log = &s.stage, log
	s.bench.Meter = usage.Meter{
		Source: usage.Kubelets{Client: clients.CoreV1().RESTClient()},
		Every:  time.Second, Patience: 2 * time.Minute, Now: time.Now,
	}
	return kube, clients.Discovery(), nil
}

// given are the values of all flags, the defaults included: they belong to the figures.
func given(f *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" && flag.Name != "kubeconfig" && flag.Name != "out" {
			values[flag.Name] = flag.Value.String()
		}
	})
	return values
}

func (s *settings) report(c *cobra.Command, r *results.Results) error {
	err := r.Table(c.OutOrStdout())
	if s.out != "" {
		err = errors.Join(err, r.Write(s.out))
	}
	if len(r.Errors) > 0 {
		err = errors.Join(err, fmt.Errorf("%d cases failed", len(r.Errors)))
	}
	return err
}
