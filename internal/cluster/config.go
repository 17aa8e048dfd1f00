package cluster

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Limits of the client toward the API server, in requests per second. Both are far above what a settled
// cluster needs: they bound what a mistake of ours can do to it.
const (
	clientQPS   = 200
	clientBurst = 400
)

// LoadConfig finds the cluster: the kubeconfig given, else the one of KUBECONFIG, else the cluster that the
// process runs on, else ~/.kube/config.
func LoadConfig(kubeconfig string) (*rest.Config, error) {
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
