package rendering

import (
	"slices"
	"strings"
	"testing"
)

// TestArgumentsInOrder: the picker's arguments stand in the order that users know.
func TestArgumentsInOrder(t *testing.T) {
	r := of(t, standalone, labelled, "router.modelServers.matchLabels.tier=big", "router.inferencePool.create=false", "router.epp.replicas=3",
		"router.epp.flags.ha-enable-leader-election=false", "router.epp.flags.v=4", "router.modelServers.targetPorts[0].number=8000",
		"router.modelServers.targetPorts[1].number=8001", "router.monitoring.prometheus.auth.enabled=false", "router.proxy.config=static")
	epp := container(t, workloads(t, r.objects(t))[0], "epp")
	want := strings.Split("--endpoint-selector app=my-model,tier=big --endpoint-target-ports 8000,8001 --zap-encoder json "+
		"--config-file /config/default-plugins.yaml --ha-enable-leader-election --grpc-health-port 9003 --ha-enable-leader-election=false --v=4 "+
		"--tracing=false --metrics-endpoint-auth=false", " ")
	if !slices.Equal(epp.Args, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(epp.Args, " "), strings.Join(want, " "))
	}
	r = of(t, standalone, labelled, "router.proxy.enabled=false")
	epp = container(t, workloads(t, r.objects(t))[0], "epp")
	want = strings.Split("--pool-name my-release --pool-namespace models --pool-group inference.networking.k8s.io --zap-encoder json "+
		"--config-file /config/default-plugins.yaml --grpc-health-port 9003 --tracing=false", " ")
	if !slices.Equal(epp.Args, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(epp.Args, " "), strings.Join(want, " "))
	}
}

// TestReleasesSideBySide: two releases in one namespace, and releases of one name in two namespaces, share no object.
func TestReleasesSideBySide(t *testing.T) {
	values := []string{labelled, "router.proxy.mode=service", "router.monitoring.prometheus.enabled=true", "router.networkPolicy.enabled=true",
		"router.latencyPredictor.enabled=true", "router.epp.replicas=2", "router.monitoring.dashboards.enabled=true"}
	for chart, more := range map[string][]string{standalone: {"router.proxy.config=static"}, gateway: {"controlPlane.enabled=false", "httpRoute.create=true"}} {
		if chart == gateway {
			values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.HasPrefix(v, "router.proxy") })
		}
		one, other := of(t, chart, append(values, more...)...), of(t, chart, append(values, more...)...)
		one.Name, other.Name = "one", "other"
		have := ids(one.objects(t))
		for _, id := range ids(other.objects(t)) {
			if slices.Contains(have, id) {
				t.Errorf("%s: both releases have %s", chart, id)
			}
		}
		for _, o := range one.objects(t) {
			if o.GetNamespace() == "" && !strings.Contains(o.GetName(), namespace) {
				t.Errorf("%s: %s is the same in every namespace", chart, o.id())
			}
		}
	}
}

// TestPresetsGiveWayKeyByKey: what a user says of the proxy's container wins, and nothing else of the preset is lost.
func TestPresetsGiveWayKeyByKey(t *testing.T) {
	r := of(t, standalone, labelled, "router.proxy.mode=service", "router.proxy.readinessProbe.periodSeconds=1", "router.proxy.image=mine:1",
		"router.proxy.args={-c,/etc/envoy/envoy.yaml}", "router.proxy.securityContext.readOnlyRootFilesystem=false")
	c := container(t, workloads(t, r.objects(t))[1], "envoy-proxy")
	if c.Image != "mine:1" || len(c.Args) != 2 || c.ReadinessProbe.PeriodSeconds != 1 || c.ReadinessProbe.HTTPGet.Path != "/ready" {
		t.Errorf("%s %v %+v", c.Image, c.Args, c.ReadinessProbe)
	}
	if *c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || len(c.Ports) != 2 || len(c.Env) != 2 {
		t.Errorf("%+v", c)
	}
}

// TestResourcesOfTheGuide: its file of resources is taken as it stands.
func TestResourcesOfTheGuide(t *testing.T) {
	r := example(t, examplesDir+"/resource_overrides.yaml")
	w := workloads(t, r.objects(t))[0]
	for name, want := range map[string]string{"epp": "32 64Gi 128Gi", "envoy-proxy": "8 2Gi 4Gi"} {
		res := container(t, w, name).Resources
		got := res.Requests.Cpu().String() + " " + res.Requests.Memory().String() + " " + res.Limits.Memory().String()
		if got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestDashboards: the ConfigMap holds every dashboard as it is.
func TestDashboards(t *testing.T) {
	for _, chart := range []string{standalone, gateway} {
		o := find(t, of(t, chart, labelled, "router.monitoring.dashboards.enabled=true").objects(t), "ConfigMap/my-release-epp-dashboards")
		if text := dig(t, o.Object, "data", "llm-d-router-epp.json").(string); !strings.Contains(text, `"{{error_code}}"`) {
			t.Errorf("%s: %d bytes, without what the dashboard has in it", chart, len(text))
		}
	}
}

// TestRestartsOnlyWhatReadsOnce: an upgrade of the chart or of the picker's file restarts nobody; a new file of a proxy does.
func TestRestartsOnlyWhatReadsOnce(t *testing.T) {
	render := func(lines ...string) map[string]string {
		out := map[string]string{}
		for _, o := range of(t, standalone, append([]string{labelled, "router.proxy.mode=service", "router.proxy.config=static"}, lines...)...).objects(t) {
			if o.GetKind() == "Deployment" {
				template, err := o.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				out[o.GetName()] = string(template)
			}
		}
		return out
	}
	before := render()
	if after := render("router.epp.metricsDataSource.path=/stats"); after["my-release-epp"] != before["my-release-epp"] || after["my-release-proxy"] != before["my-release-proxy"] {
		t.Error("another configuration of the picker restarts something")
	}
	after := render("router.modelServers.targetPorts[0].number=9000")
	if after["my-release-proxy"] == before["my-release-proxy"] {
		t.Error("another file of the proxy does not restart it")
	}
	for name, template := range before {
		if strings.Contains(template[strings.Index(template, `"template"`):], "helm.sh/chart") {
			t.Errorf("the pods of %s carry the chart's version", name)
		}
	}
}

// TestNotes: they tell how to send the first request, for each way of serving.
func TestNotes(t *testing.T) {
	for _, c := range []struct {
		r    release
		want []string
	}{
		{of(t, standalone, labelled), []string{"service/my-release-epp 8081:8081", "http://127.0.0.1:8081/v1/chat/completions"}},
		{of(t, standalone, labelled, "router.proxy.mode=service", "router.monitoring.dashboards.enabled=true"), []string{"service/my-release-proxy 8081:8081", "my-release-epp-dashboards"}},
		{of(t, standalone, labelled, "router.proxy.enabled=false"), []string{"service/my-release-epp 9002"}},
		{of(t, standalone, labelled, "router.epp.replicas=2", "router.epp.flags.ha-enable-leader-election=false"), []string{"without prefix-cache-scorer"}},
		{of(t, gateway), []string{"kubectl get gatewayclass switchyard"}},
		{of(t, gateway, labelled, "httpRoute.create=true", "controlPlane.enabled=false"), []string{"inferencepool/my-release", "httproute/my-release", "/v1/chat/completions"}},
	} {
		files, err := c.r.render(t)
		if err != nil {
			t.Fatal(err)
		}
		notes := files[c.r.Chart+"/templates/NOTES.txt"]
		for _, want := range c.want {
			if !strings.Contains(notes, want) {
				t.Errorf("%s %v: no %q in\n%s", c.r.Chart, c.r.Values, want, notes)
			}
		}
	}
}
