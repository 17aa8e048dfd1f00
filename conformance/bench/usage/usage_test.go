package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// kubelet answers with the next of its summaries, and with the last one for ever.
type kubelet struct {
	summaries []Summary
	asked     int
}

func (k *kubelet) Summary(context.Context, string) (Summary, error) {
	if len(k.summaries) == 0 {
		return Summary{}, errors.New("no kubelet")
	}
	k.asked++
	return k.summaries[min(k.asked, len(k.summaries))-1], nil
}

func sampled(at time.Duration, cpuSeconds, rssMiB float64) Summary {
	text := fmt.Sprintf(`{"pods":[
	  {"podRef":{"name":"other","namespace":"system"},"containers":[{"name":"main","cpu":{"time":%[1]q,"usageCoreNanoSeconds":999}}]},
	  {"podRef":{"name":"plane","namespace":"system"},"containers":[{"name":"main","startTime":%[4]q,
	    "cpu":{"time":%[1]q,"usageCoreNanoSeconds":%.0[2]f},"memory":{"rssBytes":%.0[3]f,"workingSetBytes":%.0[3]f}}]}]}`,
		noon.Add(at).Format(time.RFC3339), cpuSeconds*1e9, rssMiB*(1<<20), noon.Format(time.RFC3339))
	var s Summary
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	return s
}

func pod(namespace, name string, labels map[string]string, phase corev1.PodPhase) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

func meter(k *kubelet, now time.Duration) Meter {
	return Meter{Source: k, Every: time.Millisecond, Patience: 10 * time.Second, Now: func() time.Time { return noon.Add(now) }}
}

func TestUsageIsTheDifferenceOfTwoFreshSamples(t *testing.T) {
	pods := []corev1.Pod{pod("system", "plane", nil, corev1.PodRunning)}
	// The first sample of each reading is from before the reading was asked for and has to be passed over.
	k := &kubelet{summaries: []Summary{sampled(5*time.Second, 1, 10), sampled(15*time.Second, 2, 20)}}
	first, err := meter(k, 10*time.Second).Read(t.Context(), pods)
	if err != nil {
		t.Fatal(err)
	}
	k = &kubelet{summaries: []Summary{sampled(35*time.Second, 3, 30), sampled(55*time.Second, 6, 64)}}
	last, err := meter(k, 45*time.Second).Read(t.Context(), pods)
	if err != nil {
		t.Fatal(err)
	}
	total, err := Between(first, last)
	if err != nil {
		t.Fatal(err)
	}
	if total.Pods != 1 || total.CPUSeconds != 4 || total.Seconds != 40 || total.Cores != 0.1 || total.RSSBytes != 64<<20 {
		t.Errorf("got %+v, want 4 CPU seconds in 40 s and 64 MiB of the one pod", total)
	}
}

func TestUsageWaitsNoLongerThanItsPatience(t *testing.T) {
	m := meter(&kubelet{summaries: []Summary{sampled(5*time.Second, 1, 10)}}, 10*time.Second)
	m.Patience = 50 * time.Millisecond
	_, err := m.Read(t.Context(), []corev1.Pod{pod("system", "plane", nil, corev1.PodRunning)})
	if err == nil || !strings.Contains(err.Error(), "container main of pod system/plane") {
		t.Errorf("want an error that names the container, got %v", err)
	}
	if _, err := meter(&kubelet{}, 0).Read(t.Context(), []corev1.Pod{pod("a", "b", nil, corev1.PodRunning)}); err == nil {
		t.Error("a kubelet that does not answer gave no error")
	}
}

func TestARestartedContainerIsNotMeasured(t *testing.T) {
	pods := []corev1.Pod{pod("system", "plane", nil, corev1.PodRunning)}
	read := func(s Summary) Reading {
		r, err := meter(&kubelet{summaries: []Summary{s}}, 0).Read(t.Context(), pods)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	restarted := sampled(40*time.Second, 5, 10)
	restarted.Pods[1].Containers[0].StartTime = noon.Add(20 * time.Second)
	if _, err := Between(read(sampled(0, 1, 10)), read(restarted)); err == nil {
		t.Error("a container that started in between was measured")
	}
	if _, err := Between(read(sampled(0, 5, 10)), read(sampled(40*time.Second, 1, 10))); err == nil {
		t.Error("a counter that went back was measured")
	}
}

func TestSidecarsAreMeasuredAndInitContainersAreNot(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := pod("system", "plane", nil, corev1.PodRunning)
	p.Spec.InitContainers = []corev1.Container{{Name: "once"}, {Name: "sidecar", RestartPolicy: &always}}
	with := func(at time.Duration, main, sidecar float64) Summary {
		s, other := sampled(at, main, 10), sampled(at, sidecar, 5)
		other.Pods[1].Containers[0].Name = "sidecar"
		s.Pods[1].Containers = append(s.Pods[1].Containers, other.Pods[1].Containers[0])
		return s
	}
	read := func(s Summary) Reading {
		r, err := meter(&kubelet{summaries: []Summary{s}}, 0).Read(t.Context(), []corev1.Pod{p})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	total, err := Between(read(with(0, 1, 1)), read(with(40*time.Second, 3, 7)))
	if err != nil || total.CPUSeconds != 8 || total.RSSBytes != 15<<20 || len(total.Containers) != 2 {
		t.Errorf("got %+v, %v; want 8 CPU seconds and 15 MiB of two containers", total, err)
	}
}

func TestPodsAreChosenOnceAndOnlyWhenTheyRun(t *testing.T) {
	objects := []corev1.Pod{
		pod("a", "one", map[string]string{"app": "x", "tier": "proxy"}, corev1.PodRunning),
		pod("a", "two", map[string]string{"app": "y"}, corev1.PodRunning),
		pod("b", "three", map[string]string{"tier": "proxy"}, corev1.PodRunning),
		pod("b", "four", map[string]string{"tier": "proxy"}, corev1.PodPending),
	}
	builder := fake.NewClientBuilder()
	for i := range objects {
		builder.WithObjects(&objects[i])
	}
	c := builder.Build()
	for list, want := range map[string]string{
		"a/app=x":                "a/one",
		"a/":                     "a/one a/two",
		"*/tier=proxy":           "a/one b/three",
		"a/app=x,*/tier=proxy, ": "a/one b/three",
		"":                       "",
	} {
		selectors, err := ParseSelectors(list)
		if err != nil {
			t.Fatal(err)
		}
		pods, err := Pods(t.Context(), c, selectors)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range pods {
			names = append(names, p.Namespace+"/"+p.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q chose %q, want %q", list, got, want)
		}
	}
}

func TestSelectorsThatCannotBeMeant(t *testing.T) {
	for _, list := range []string{"app=x", "/app=x", "*/", "a/app in", "app.kubernetes.io=x/y"} {
		if _, err := ParseSelectors(list); err == nil {
			t.Errorf("%q was taken", list)
		}
	}
	selectors, err := ParseSelectors("system/app.kubernetes.io/name=x")
	if err != nil || len(selectors) != 1 || selectors[0].Namespace != "system" || selectors[0].Labels.String() != "app.kubernetes.io/name=x" {
		t.Errorf("a label with a slash: %+v, %v", selectors, err)
	}
}

func TestKubeletsAreAskedThroughTheAPIServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/nodes/node-1/proxy/stats/summary" {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"pods":[{"podRef":{"name":"p","namespace":"n"}}]}`))
	}))
	defer server.Close()
	base, _ := url.Parse(server.URL)
	c, err := rest.NewRESTClient(base, "", rest.ClientContentConfig{}, nil, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	summary, err := Kubelets{Client: c}.Summary(t.Context(), "node-1")
	if err != nil || len(summary.Pods) != 1 || summary.Pods[0].PodRef.Name != "p" {
		t.Errorf("got %+v, %v", summary, err)
	}
	if _, err := (Kubelets{Client: c}).Summary(t.Context(), "node-2"); err == nil || !strings.Contains(err.Error(), "nodes/proxy") {
		t.Errorf("want an error that names the missing right, got %v", err)
	}
}
