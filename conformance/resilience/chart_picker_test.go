package resilience

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownConfig are values with a picker's configuration in a file of its own. steeredConfig changes that file: then a request says
// itself who serves it, which tells from outside that the change is in force, and that picks are followed.
const (
	ownConfig = `router:
  epp:
    pluginsConfigFile: own.yaml
    pluginsCustomConfig:
      own.yaml: |
        apiVersion: llm-d.ai/v1alpha1
        kind: EndpointPickerConfig
        plugins:
        - type: queue-scorer
        schedulingProfiles:
        - name: default
          plugins: [{pluginRef: queue-scorer}]
`
	steeredConfig = `router:
  epp:
    pluginsCustomConfig:
      own.yaml: |
        apiVersion: llm-d.ai/v1alpha1
        kind: EndpointPickerConfig
        plugins:
        - type: header-based-testing-filter
        - type: queue-scorer
        schedulingProfiles:
        - name: default
          plugins: [{pluginRef: header-based-testing-filter}, {pluginRef: queue-scorer}]
`
	steeringHeader = "test-epp-endpoint-selection"
)

// leftWithin is how long proxies may stay with a picker that ends, once there is another: one look for it, and as long as they wait before they
// connect again, three seconds at most; 2 s on a machine that does nothing else, 5.5 s beside two other tests. A picker that kept them would have them
// for its whole drain: 22 s.
const leftWithin = 12 * time.Second

// askFor sends a request with headers and gives the status, and the model server that answered.
func askFor(ctx context.Context, url, model string, headers map[string]string) (status int, server string, err error) {
	body := fmt.Sprintf(`{"model": %q, "max_tokens": 1, "messages": [{"role": "user", "content": "whose turn is it?"}]}`, model)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("content-type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("x-sim-endpoint"), nil
}

// expectSteered wants requests that name their model server served there, each of the three, through every proxy; or else that their
// wish is nothing.
func (r *release) expectSteered(proxyDeployment string, want bool) {
	r.t.Helper()
	sims := r.podsIn("sim")
	took := eventually(r.t, settled, fmt.Sprintf("requests are steered: %t", want), func(ctx context.Context) error {
		for _, proxy := range r.podsIn(proxyDeployment) {
			followed := 0
			for i := range 6 {
				sim := sims[i%len(sims)]
				status, server, err := askFor(ctx, through(&proxy).URL, model, map[string]string{steeringHeader: sim.Status.PodIP})
				if err != nil || status != http.StatusOK {
					return fmt.Errorf("through %s: status %d, %v", proxy.Name, status, err)
				}
				if strings.HasPrefix(server, sim.Status.PodIP+":") {
					followed++
				}
			}
			if (followed == 6) != want {
				return fmt.Errorf("through %s: %d of 6 requests were served where they asked to be", proxy.Name, followed)
			}
		}
		return nil
	})
	r.t.Logf("requests are steered: %t, after %s", want, took.Round(time.Millisecond))
}

// poke changes an annotation of a Deployment's pods: kubelets look after a pod's files when the pod changes, and else about once a minute.
func (r *release) poke(deployment string) {
	r.t.Helper()
	for _, pod := range r.podsIn(deployment) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"resilience/poked":%q}}}`, time.Now().String())
		if err := r.Patch(r.t.Context(), &pod, client.RawPatch(types.MergePatchType, patch)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// expectReplaced wants none of the pods that a Deployment had.
func (r *release) expectReplaced(deployment string, before []types.UID) {
	r.t.Helper()
	for _, uid := range uids(r.podsIn(deployment)) {
		if slices.Contains(before, uid) {
			r.t.Errorf("pod %s of %s is still there, so that nothing was tried", uid, deployment)
		}
	}
}

// expectTold wants every proxy told by the one picker there is now what to do, though the one before it still has requests to finish.
func (r *release) expectTold(epp, proxyDeployment string) {
	r.t.Helper()
	all, proxies, pickers := r.allPodsIn(epp), r.podsIn(proxyDeployment), r.podsIn(epp)
	if len(pickers) != 1 || len(all) != 2 {
		r.t.Fatalf("%s has %d pods and %d that end, want one of each", epp, len(pickers), len(all)-len(pickers))
	}
	took := eventually(r.t, settled, "the new picker has the proxies", func(ctx context.Context) error {
		var told struct{ Proxies []struct{ Synced bool } }
		if err := getJSON(ctx, "http://"+pickers[0].Status.PodIP+":9090/debug/xds", &told); err != nil {
			return err
		}
		synced := 0
		for _, p := range told.Proxies {
			if p.Synced {
				synced++
			}
		}
		if synced != len(proxies) {
			return fmt.Errorf("%d of %d proxies have what it says", synced, len(proxies))
		}
		return nil
	})
	r.t.Logf("the new picker tells all %d proxies what to do after %s", len(proxies), took.Round(time.Millisecond))
	if took > leftWithin {
		r.t.Errorf("the new picker had the proxies only after %s, when the old one had finished its requests", took)
	}
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// waitReplaced waits until a pod of a Deployment is gone and all that it should have are ready.
func (r *release) waitReplaced(deployment string, gone types.UID) {
	r.t.Helper()
	eventually(r.t, settled, "a pod of "+deployment+" is replaced", func(ctx context.Context) error {
		d, err := r.deployment(ctx, r.namespace, deployment)
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range r.podsIn(deployment) {
			if pod.UID == gone {
				return fmt.Errorf("pod %s is there", pod.Name)
			}
			if isReady(&pod) {
				ready++
			}
		}
		if ready != int(*d.Spec.Replicas) {
			return fmt.Errorf("%d pods are ready, want %d", ready, *d.Spec.Replicas)
		}
		return nil
	})
}

// expectKept wants the very pods that a Deployment had.
func (r *release) expectKept(deployment string, before []types.UID) {
	r.t.Helper()
	if now := uids(r.podsIn(deployment)); !slices.Equal(now, before) {
		r.t.Errorf("the pods of %s were %v and are %v", deployment, before, now)
	}
}

// killPicker ends the process of a picker without a word, and wants picks again when it is back.
func (r *release) killPicker(epp, proxy string) {
	r.t.Helper()
	victim := r.podsIn(epp)[0]
	restarts := restartsOf(&victim, "epp")
	began := time.Now()
	how := r.kill(r.t, &victim, "epp")
	eventually(r.t, settled, "the picker is back", func(context.Context) error {
		for _, pod := range r.podsIn(epp) {
			if isReady(&pod) && (restartsOf(&pod, "epp") > restarts || pod.UID != victim.UID) {
				return nil
			}
		}
		return errors.New("it was not started again")
	})
	r.t.Logf("the picker is ready again %s after %s", time.Since(began).Round(time.Millisecond), how)
	r.expectPicked(proxy)
}

// deletePicker deletes the pod of a picker with no time to end, and wants picks again when there is another.
func (r *release) deletePicker(epp, proxy string) {
	r.t.Helper()
	victim, began := r.podsIn(epp)[0], time.Now()
	if err := r.Delete(r.t.Context(), &victim, client.GracePeriodSeconds(0)); err != nil {
		r.t.Fatal(err)
	}
	r.waitReplaced(epp, victim.UID)
	r.t.Logf("the picker is ready again %s after its pod was deleted with no time to end", time.Since(began).Round(time.Millisecond))
	r.expectPicked(proxy)
}

func restartsOf(pod *corev1.Pod, container string) int32 {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == container {
			return s.RestartCount
		}
	}
	return 0
}

// expectCleanLogs wants no error, and no refusal by the API server, in what the pickers of a Deployment wrote.
func (r *release) expectCleanLogs(deployment string) {
	r.t.Helper()
	for _, pod := range r.podsIn(deployment) {
		text, err := r.pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "epp"}).DoRaw(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !strings.Contains(string(text), `"msg":"picking"`) {
			r.t.Errorf("%s does not say that it picks", pod.Name)
		}
		for line := range strings.Lines(string(text)) {
			// Replicas that start together all try to make the Lease.
			if strings.Contains(line, "creating lease lock") && strings.Contains(line, "already exists") {
				continue
			}
			if errorLine.MatchString(line) || strings.Contains(line, "forbidden") {
				r.t.Errorf("%s wrote %s", pod.Name, line)
			}
		}
	}
}

// metric adds up the values of a metric with these labels over the pickers of a Deployment.
func (r *release) metric(deployment, name string, labels map[string]string) (sum float64) {
	r.t.Helper()
	for _, pod := range r.podsIn(deployment) {
		resp, err := http.Get("http://" + pod.Status.PodIP + ":9090/metrics")
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			line, value, _ := strings.Cut(lines.Text(), "} ")
			if !strings.HasPrefix(line, name+"{") {
				continue
			}
			wanted := true
			for label, text := range labels {
				wanted = wanted && strings.Contains(line, label+"="+strconv.Quote(text))
			}
			if n, err := strconv.ParseFloat(value, 64); err == nil && wanted {
				sum += n
			}
		}
	}
	return sum
}
