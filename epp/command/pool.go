package command

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
)

// poolGroupV1 is the only API group whose InferencePools are read.
const poolGroupV1 = "inference.networking.k8s.io"

// maxTargetPorts is how many ports a pool may have.
const maxTargetPorts = 8

// poolFlags say which endpoints are picked from: an InferencePool's, or those of pods that a selector names.
type poolFlags struct {
	name      string
	namespace string
	group     string
	selector  string
	ports     []int
	protocol  string // that of the pods or of the endpoints that are discovered
	// discovery is the name of the plugin that discovers endpoints, empty when a cluster or a folder tells of them.
	discovery string
}

func (p *poolFlags) discovers() bool { return p.discovery != "" }

func (p *poolFlags) register(set *pflag.FlagSet) {
	set.StringVar(&p.name, "pool-name", "", "InferencePool to follow; with -f: the one of proxies that name none")
	set.StringVar(&p.namespace, "pool-namespace", "", "its namespace; default: the environment's NAMESPACE, else default")
	set.StringVar(&p.group, "pool-group", poolGroupV1, "its API group")
	set.StringVar(&p.selector, "endpoint-selector", "", "instead of a pool: the pods with these labels, such as 'app=llama,tier in (a,b)'")
	set.IntSliceVar(&p.ports, "endpoint-target-ports", nil, "the ports of these pods, 1 to 8 of them")
	set.StringVar(&p.protocol, "endpoint-app-protocol", "", "what these pods, or the endpoints of a file, speak, as a pool's appProtocol: http or kubernetes.io/h2c; default: http")
}

// validate also drops ports that are listed twice.
func (p *poolFlags) validate() error {
	if p.group != poolGroupV1 {
		return fmt.Errorf("--pool-group: %q is not supported, use %s", p.group, poolGroupV1)
	}
	if err := p.validateProtocol(); err != nil {
		return err
	}
	if p.selector == "" {
		if len(p.ports) > 0 {
			return errors.New("--endpoint-target-ports is for --endpoint-selector; a pool has its own ports")
		}
		return nil
	}
	if p.name != "" {
		return errors.New("--pool-name and --endpoint-selector exclude each other; keep one")
	}
	if _, err := p.labels(); err != nil {
		return err
	}
	p.dropRepeatedPorts()
	if len(p.ports) == 0 || len(p.ports) > maxTargetPorts {
		return fmt.Errorf("--endpoint-target-ports: %d ports; with --endpoint-selector give 1 to %d", len(p.ports), maxTargetPorts)
	}
	for _, port := range p.ports {
		if port < 1 || port > 65535 {
			return fmt.Errorf("--endpoint-target-ports: %d is not a port", port)
		}
	}
	if _, err := deploymentOf(os.Getenv("POD_NAME")); err != nil {
		return err
	}
	return nil
}

func (p *poolFlags) validateProtocol() error {
	switch p.protocol {
	case "":
		return nil
	case string(infv1.AppProtocolHTTP), string(infv1.AppProtocolH2C):
	default:
		return fmt.Errorf("--endpoint-app-protocol: %q is not supported, use %s or %s", p.protocol, infv1.AppProtocolHTTP, infv1.AppProtocolH2C)
	}
	if p.selector == "" && !p.discovers() {
		return errors.New("--endpoint-app-protocol is for --endpoint-selector and for file-discovery; a pool has its own spec.appProtocol")
	}
	return nil
}

func (p *poolFlags) dropRepeatedPorts() {
	var kept []int
	for _, port := range p.ports {
		if !slices.Contains(kept, port) {
			kept = append(kept, port)
		}
	}
	p.ports = kept
}

func (p *poolFlags) labels() (labels.Selector, error) {
	parsed, err := labels.Parse(p.selector)
	if err != nil {
		return nil, fmt.Errorf("--endpoint-selector %q: %w", p.selector, err)
	}
	if parsed.Empty() {
		return nil, fmt.Errorf("--endpoint-selector: %q selects every pod of the namespace; name a label", p.selector)
	}
	return parsed, nil
}

// ofDeployment is the name of a pod of a Deployment: <deployment>-<hash>-<suffix>.
var ofDeployment = regexp.MustCompile(`^([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)-[a-z0-9]+-[a-z0-9]+$`)

// deploymentOf names the Deployment of a pod.
func deploymentOf(pod string) (string, error) {
	parts := ofDeployment.FindStringSubmatch(pod)
	if parts == nil {
		return "", fmt.Errorf("environment: POD_NAME is %q; with --endpoint-selector it has to be <deployment>-<hash>-<suffix>, "+
			"as of the pods of a Deployment: the deployment's name stands for the pool's in metrics and Lease", pod)
	}
	return parts[1], nil
}

// inNamespace is the namespace of the pool.
func (p *poolFlags) inNamespace() string {
	for _, namespace := range []string{p.namespace, os.Getenv("NAMESPACE")} {
		if namespace != "" {
			return namespace
		}
	}
	return "default"
}

// named is the name of the pool, of a pool made of a selector that of the picker's own Deployment, of one that is discovered
// that of the plugin unless another is given; empty when none is named.
func (p *poolFlags) named() string {
	if p.selector == "" {
		return cmp.Or(p.name, p.discovery)
	}
	deployment, err := deploymentOf(os.Getenv("POD_NAME"))
	if err != nil {
		return "" // validate has refused it
	}
	return deployment
}

// key is the pool of proxies that name none ("namespace/name"), empty when no pool is named.
func (p *poolFlags) key() string {
	name := p.named()
	if name == "" {
		return ""
	}
	return p.inNamespace() + "/" + name
}
