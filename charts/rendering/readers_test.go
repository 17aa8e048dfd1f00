package rendering

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard/switchyard/epp/command"
	"github.com/switchyard/switchyard/proxyfleet"
)

// workload is the pod template of a Deployment or StatefulSet.
type workload struct {
	id       string
	selector map[string]string
	template corev1.PodTemplateSpec
}

func workloads(t testing.TB, objects []object) []workload {
	t.Helper()
	var out []workload
	for _, o := range objects {
		if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" {
			continue
		}
		var d appsv1.Deployment // what is asked of a StatefulSet has the same place
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, workload{id: o.id(), selector: d.Spec.Selector.MatchLabels, template: d.Spec.Template})
	}
	return out
}

func containers(w workload) []corev1.Container {
	return slices.Concat(w.template.Spec.InitContainers, w.template.Spec.Containers)
}

func container(t testing.TB, w workload, name string) corev1.Container {
	t.Helper()
	for _, c := range containers(w) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("%s has no container %s", w.id, name)
	return corev1.Container{}
}

// TestPickerReadsItsArguments: the picker knows every flag, and its value.
func TestPickerReadsItsArguments(t *testing.T) {
	for name, r := range goldens(t) {
		for _, w := range workloads(t, renderGolden(t, name, r)) {
			for _, c := range containers(w) {
				if c.Name != "epp" {
					continue
				}
				if err := command.New(command.Options{Name: "epp"}).ParseFlags(c.Args); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// TestPickerReadsItsConfiguration: every file that a release chooses is one that the picker starts with.
func TestPickerReadsItsConfiguration(t *testing.T) {
	for name, r := range goldens(t) {
		objects := renderGolden(t, name, r)
		for _, o := range objects {
			if o.GetKind() != "ConfigMap" {
				continue
			}
			data, _ := o.Object["data"].(map[string]any)
			for file, text := range data {
				if !strings.Contains(text.(string), "kind: EndpointPickerConfig") {
					continue
				}
				args := []string{"validate", writeFile(t, file, text.(string))}
				if file == "payload-agnostic.yaml" {
					args = append(args, "--allow-experimental-plugins")
				}
				cmd := command.New(command.Options{Name: "epp"})
				var said strings.Builder
				cmd.SetArgs(args)
				cmd.SetOut(&said)
				cmd.SetErr(&said)
				cmd.SilenceUsage = true
				if err := cmd.Execute(); err != nil {
					t.Errorf("%s: %s: %v\n%s", name, file, err, said.String())
				}
			}
		}
	}
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func findEnvoy(t testing.TB) string {
	t.Helper()
	envoy, err := proxyfleet.FindEnvoy(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	return envoy
}

// TestEnvoyReadsItsFile has Envoy itself check every file that is made for it.
func TestEnvoyReadsItsFile(t *testing.T) {
	envoy := findEnvoy(t)
	seen := map[string]bool{}
	for name, r := range goldens(t) {
		for _, o := range renderGolden(t, name, r) {
			if o.GetKind() != "ConfigMap" {
				continue
			}
			data := o.Object["data"].(map[string]any)
			text, ok := data["envoy.yaml"].(string)
			if !ok || seen[text] {
				continue
			}
			seen[text] = true
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				files := map[string]string{}
				for name, text := range data {
					files[name] = text.(string)
				}
				// Envoy looks whether the files are there that it is to be told its certificate by.
				dir := t.TempDir()
				mount(t, dir, files, "/etc/envoy", dir)
				out, err := exec.Command(envoy, "--mode", "validate", "--log-level", "error", "--component-log-level", "misc:error",
					"--service-node", "test", "-c", filepath.Join(dir, "envoy.yaml")).CombinedOutput()
				if err != nil || strings.Contains(string(out), "unknown field") || strings.Contains(string(out), "deprecated") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
	if len(seen) < 6 {
		t.Errorf("only %d files; there have to be more", len(seen))
	}
}

// TestRestricted: every pod may run in a namespace of the pod security level "restricted".
func TestRestricted(t *testing.T) {
	for name, r := range goldens(t) {
		for _, w := range workloads(t, renderGolden(t, name, r)) {
			pod := w.template.Spec.SecurityContext
			if pod == nil || pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot || pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s: pod: %+v", name, w.id, pod)
			}
			for _, c := range containers(w) {
				if c.Image == "registry.example/download:1" {
					continue // the user's own
				}
				s := c.SecurityContext
				if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil ||
					!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
					t.Errorf("%s: %s: container %s: %+v", name, w.id, c.Name, s)
				}
			}
			for _, v := range w.template.Spec.Volumes {
				if v.HostPath != nil {
					t.Errorf("%s: %s: volume %s is of the host", name, w.id, v.Name)
				}
			}
		}
	}
}

// TestReferences: what objects of a release name is there: config maps, secrets and accounts of pods, pods and ports of Services.
func TestReferences(t *testing.T) {
	for name, r := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			objects := renderGolden(t, name, r)
			all := workloads(t, objects)
			for _, w := range all {
				for _, v := range w.template.Spec.Volumes {
					if v.ConfigMap != nil {
						find(t, objects, "ConfigMap/"+v.ConfigMap.Name)
					}
					if v.Secret != nil && strings.HasPrefix(v.Secret.SecretName, defaultRelease) {
						find(t, objects, "Secret/"+v.Secret.SecretName)
					}
				}
				for _, c := range containers(w) {
					for _, m := range c.VolumeMounts {
						if !slices.ContainsFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
							t.Errorf("%s: container %s mounts %s, which is no volume", w.id, c.Name, m.Name)
						}
					}
				}
				if account := w.template.Spec.ServiceAccountName; account != "" {
					find(t, objects, "ServiceAccount/"+account)
				}
				if !matches(w.selector, w.template.Labels) {
					t.Errorf("%s selects %v, and its pods have %v", w.id, w.selector, w.template.Labels)
				}
			}
			for _, o := range objects {
				if o.GetKind() == "Service" && !strings.HasSuffix(o.GetName(), "-servers") {
					checkService(t, o, all)
				}
			}
		})
	}
}

// checkService looks for the pods of a Service, and in them for each of its ports.
func checkService(t *testing.T, o object, all []workload) {
	t.Helper()
	var s corev1.Service
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &s); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(w workload) bool { return matches(s.Spec.Selector, w.template.Labels) })
	if _, one := s.Spec.Selector["statefulset.kubernetes.io/pod-name"]; one {
		return
	}
	if i < 0 {
		t.Errorf("%s selects %v, which no pod has", o.id(), s.Spec.Selector)
		return
	}
	for _, p := range s.Spec.Ports {
		if p.Name == "other" {
			continue // the user's own
		}
		if !slices.ContainsFunc(containers(all[i]), func(c corev1.Container) bool {
			return slices.ContainsFunc(c.Ports, func(have corev1.ContainerPort) bool {
				return have.Name == p.TargetPort.StrVal || have.ContainerPort == p.TargetPort.IntVal
			})
		}) {
			t.Errorf("%s: port %s leads to %s, where no container of %s listens", o.id(), p.Name, p.TargetPort.String(), all[i].id)
		}
	}
}

func matches(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}
