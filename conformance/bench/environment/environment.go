// Package environment reads what a run took place on: the machine, the cluster's nodes, the versions. Figures without them cannot be
// compared.
//
// What cannot be read stays empty: a benchmark must not fail because a user may not list nodes.
//
//	/proc, API server -> results.Machine, results.Versions
package environment

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/conformance/bench/results"
)

// Machine that this program runs on, and the nodes.
func Machine(ctx context.Context, c client.Reader) results.Machine {
	m := results.Machine{
		CPUs:   runtime.NumCPU(),
		Model:  cpuModel(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"),
	}
	if fields := strings.Fields(firstLine("/proc/loadavg")); len(fields) >= 3 {
		m.Load = strings.Join(fields[:3], " ")
	}
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return m
	}
	for _, n := range nodes.Items {
		m.Nodes = append(m.Nodes, results.Node{
			Name:    n.Name,
			CPU:     n.Status.Capacity.Cpu().String(),
			Memory:  n.Status.Capacity.Memory().String(),
			Kernel:  n.Status.NodeInfo.KernelVersion,
			Kubelet: n.Status.NodeInfo.KubeletVersion,
			Runtime: n.Status.NodeInfo.ContainerRuntimeVersion,
		})
	}
	return m
}

// Versions of this program, of the cluster and of its Gateway API.
func Versions(ctx context.Context, c client.Reader, d discovery.ServerVersionInterface) results.Versions {
	v := results.Versions{Go: runtime.Version(), Bench: "unknown", GatewayAPI: "unknown", Kubernetes: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Bench = info.Main.Version
	}
	if server, err := d.ServerVersion(); err == nil {
		v.Kubernetes = server.GitVersion
	}
	crd := &metav1.PartialObjectMetadata{}
	crd.APIVersion, crd.Kind = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
	if err := c.Get(ctx, client.ObjectKey{Name: "gateways.gateway.networking.k8s.io"}, crd); err == nil {
		a := crd.Annotations
		v.GatewayAPI = a["gateway.networking.k8s.io/bundle-version"] + " " + a["gateway.networking.k8s.io/channel"]
	}
	return v
}

func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
