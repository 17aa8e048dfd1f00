// Package apiserver finds the Kubernetes API server, and has the libraries that speak to it log where the process logs. It asks the server
// nothing.
//
//	--kubeconfig, KUBECONFIG, the pod's service account -> Config
package apiserver

import (
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// Limits of the client toward the API server, in requests per second. Both are far above what a settled
// cluster needs: they bound what a mistake of ours can do to it.
const (
	clientQPS   = 200
	clientBurst = 400
)

// Config is how to reach the cluster: as the kubeconfig given says, else as that of KUBECONFIG, else the cluster that the
// process runs on, else as ~/.kube/config says.
func Config(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; give --kubeconfig, set KUBECONFIG, or run in a pod with a service account", err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	config.UserAgent = "switchyard"
	return config, nil
}

// DirectLogs sends what client-go and controller-runtime log to log. They have one log per process.
func DirectLogs(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
}
