package showcase

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard/switchyard/internal/source"
)

// maxTargetPorts is what an InferencePool may list.
const maxTargetPorts = 8

// WriteManifests writes manifests that route everything on one port to the model servers given as HOST:PORT,
// and gives the file's path. A name is resolved to its first address.
func WriteManifests(dir string, port uint16, endpoints []string) (string, error) {
	addresses, err := resolveAll(endpoints)
	if err != nil {
		return "", err
	}
	var ports []uint16
	for _, a := range addresses {
		if !slices.Contains(ports, a.Port()) {
			ports = append(ports, a.Port())
		}
	}
	if len(ports) > maxTargetPorts {
		return "", fmt.Errorf("--endpoint: %d different ports, an InferencePool may have %d; make two pools in manifests of your own", len(ports), maxTargetPorts)
	}
	slices.Sort(ports)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for manifests: %w", err)
	}
	path := filepath.Join(dir, "switchyard.yaml")
	if err := os.WriteFile(path, []byte(renderManifests(port, ports, addresses)), 0o644); err != nil {
		return "", fmt.Errorf("writing manifests: %w", err)
	}
	return path, nil
}

func resolveAll(endpoints []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, e := range endpoints {
		a, err := resolve(e)
		if err != nil {
			return nil, fmt.Errorf("--endpoint %q: %w", e, err)
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

func resolve(endpoint string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(endpoint)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w; give HOST:PORT", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q is not a number from 1 to 65535", portText)
	}
	ips, err := net.LookupHost(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, err := netip.ParseAddr(ips[0])
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

func renderManifests(port uint16, ports []uint16, addresses []netip.AddrPort) string {
	var b strings.Builder
	fmt.Fprintf(&b, manifestHead, port)
	for _, p := range ports {
		fmt.Fprintf(&b, "  - number: %d\n", p)
	}
	for i, a := range addresses {
		fmt.Fprintf(&b, manifestPod, i+1, source.ActivePortsAnnotation, a.Port(), a.Addr())
	}
	return b.String()
}

const manifestHead = `# Written by "controlplane run --endpoint". Change it as you like; run it again with -f.
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: switchyard
spec:
  controllerName: switchyard.dev/gateway-controller
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: inference
  namespace: default
spec:
  gatewayClassName: switchyard
  listeners:
  - name: http
    protocol: HTTP
    port: %d
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: all
  namespace: default
spec:
  parentRefs:
  - name: inference
  rules:
  - backendRefs:
    - group: inference.networking.k8s.io
      kind: InferencePool
      name: model-servers
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: model-servers
  namespace: default
spec:
  selector:
    matchLabels:
      app: model-servers
  targetPorts:
`

const manifestPod = `---
apiVersion: v1
kind: Pod
metadata:
  name: model-server-%d
  namespace: default
  labels:
    app: model-servers
  annotations:
    %s: "%d"
spec:
  containers:
  - name: model-server
    image: external
status:
  podIP: %s
  conditions:
  - type: Ready
    status: "True"
`
