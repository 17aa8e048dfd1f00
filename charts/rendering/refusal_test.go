package rendering

import (
	"fmt"
	"strings"
	"testing"
)

// TestRefusals: what cannot work, or is not meant, is refused with a sentence that says what to change.
func TestRefusals(t *testing.T) {
	on := func(lines ...string) []string { return append([]string{labelled}, lines...) }
	agentgateway := func(lines ...string) []string {
		return on(append([]string{"router.proxy.proxyType=agentgateway", "router.inferencePool.create=false"}, lines...)...)
	}
	for name, c := range map[string]struct {
		chart  string
		values []string
		want   string
	}{
		"mode":                   {standalone, on("router.proxy.mode=deployment"), `router.proxy.mode is "deployment": use sidecar or service`},
		"labels":                 {standalone, nil, "router.modelServers.matchLabels is required: give the labels of the model servers' pods, such as --set router.modelServers.matchLabels.app=my-model-server"},
		"labels without pool":    {standalone, []string{"router.inferencePool.create=false"}, "with router.inferencePool.create=false they are all that the picker finds them by"},
		"fail open":              {standalone, on("router.proxy.failOpen=maybe"), `router.proxy.failOpen must be true or false, not "maybe"`},
		"service without proxy":  {standalone, on("router.proxy.mode=service", "router.proxy.enabled=false"), "router.proxy.mode=service is about proxies, and router.proxy.enabled is false"},
		"no http port":           {standalone, on("router.extraServicePorts[0].name=web", "router.extraServicePorts[0].port=80", "router.proxy.mode=service"), "router.extraServicePorts has no port called http"},
		"proxy type":             {standalone, on("router.proxy.proxyType=nginx"), `router.proxy.proxyType is "nginx": use envoy or agentgateway`},
		"config":                 {standalone, on("router.proxy.config=file"), `router.proxy.config is "file": use xds or static`},
		"no health":              {standalone, on("router.epp.flags.health-checking=false"), "router.epp.flags.health-checking has to be true with router.proxy.config=xds"},
		"waiting beside":         {standalone, on("router.proxy.startupProbe.httpGet.path=/ready", "router.proxy.startupProbe.httpGet.port=19001"), "router.proxy.startupProbe would have the picker wait for the proxy that starts before it in its pod"},
		"proxy replicas":         {standalone, on("router.proxy.replicas=0"), "router.proxy.replicas is 0: give at least 1"},
		"proxies scaled beside":  {standalone, on("router.proxy.autoscaling.enabled=true"), "router.proxy.autoscaling needs proxies of their own: set router.proxy.mode=service"},
		"proxies scaled wrongly": {standalone, on("router.proxy.mode=service", "router.proxy.autoscaling.enabled=true", "router.proxy.autoscaling.minReplicas=11"), "router.proxy.autoscaling.minReplicas is 11 and maxReplicas 10"},

		"agentgateway: backend":      {standalone, agentgateway("router.proxy.agentgateway.x=1"), "router.proxy.agentgateway is no longer there"},
		"agentgateway: pool":         {standalone, on("router.proxy.proxyType=agentgateway"), "set router.inferencePool.create=false"},
		"agentgateway: TLS":          {standalone, agentgateway("router.epp.flags.secure-serving=true"), "router.epp.flags.secure-serving has to be false with router.proxy.proxyType=agentgateway"},
		"agentgateway: no port":      {standalone, agentgateway("router.extraServicePorts[0].name=web", "router.extraServicePorts[0].port=80"), "router.extraServicePorts has no port called http"},
		"agentgateway: two ports":    {standalone, agentgateway("router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=80", "router.extraServicePorts[1].name=http", "router.extraServicePorts[1].port=81"), "router.extraServicePorts has 2 ports called http"},
		"agentgateway: no number":    {standalone, agentgateway("router.extraServicePorts[0].name=http"), "the port called http has no port"},
		"agentgateway: not a number": {standalone, agentgateway("router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=web"), `the port of the port called http is "web", which is not a number`},
		"agentgateway: too large":    {standalone, agentgateway("router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=65536"), "the port of the port called http is 65536: use 1 to 65535"},
		"agentgateway: target":       {standalone, agentgateway("router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=80", "router.extraServicePorts[0].targetPort=81"), `leave it out, or let it be 80 or "http"`},
		"envoy: target":              {standalone, on("router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=80", "router.extraServicePorts[0].targetPort=0"), "the targetPort of the port called http is 0: use 1 to 65535"},

		"inferenceExtension":    {standalone, on("inferenceExtension.replicas=1"), "inferenceExtension is where values stood in older charts: move what is below it to router.epp"},
		"inferencePool":         {standalone, on("inferencePool.create=true"), "inferencePool is where values stood in older charts"},
		"inferenceObjectives":   {gateway, on("inferenceObjectives[0].name=a"), "inferenceObjectives is where values stood in older charts"},
		"experimentalHttpRoute": {gateway, on("experimentalHttpRoute.enabled=true"), "experimentalHttpRoute is where values stood in older charts: move what is below it to httpRoute"},

		"objectives without pool": {standalone, on("router.inferencePool.create=false", "router.inferenceObjectives[0].name=a"), "router.inferenceObjectives need an InferencePool to refer to"},
		"no resources":            {standalone, on("router.epp.resources=null"), "router.epp.resources is required"},
		"no requests":             {standalone, on("router.epp.resources.requests=null"), "router.epp.resources.requests is required"},
		"no cpu":                  {standalone, on("router.epp.resources.requests.cpu=null"), "router.epp.resources.requests.cpu is required"},
		"no memory":               {standalone, on("router.epp.resources.requests.memory=null"), "router.epp.resources.requests.memory is required"},
		"tokenizer":               {standalone, on("router.tokenizer.enabled=true"), "router.tokenizer.modelName is required"},
		"preferred backends":      {gateway, on("provider.name=gke", "provider.gke.preferredBackends.enabled=true", "provider.gke.preferredBackends.defaultReplicas=0"), "give at least 1 of each"},
		"preferred and scaled":    {gateway, on("provider.name=gke", "provider.gke.preferredBackends.enabled=true", "router.epp.autoscaling.enabled=true", "router.epp.flags.ha-enable-leader-election=false"), "router.epp.autoscaling is not for provider.gke.preferredBackends"},

		"unknown key":            {standalone, on("router.epp.replica=3"), "router.epp.replica is no value of this chart: did you mean router.epp.replicas? Rename it, or remove it"},
		"unknown key, far":       {standalone, on("router.epp.image.hub=x"), "router.epp.image.hub is no value of this chart: remove it, or use one that there is below router.epp.image: pullPolicy, registry, repository, tag"},
		"unknown key, top":       {gateway, on("replica=1"), "replica is no value of this chart: did you mean replicas?"},
		"no replicas":            {standalone, on("router.epp.replicas=0"), "router.epp.replicas is 0: give at least 1"},
		"fewer than none":        {standalone, on("router.epp.replicas=-1"), "router.epp.replicas is -1: give at least 1"},
		"failure mode":           {standalone, on("router.inferencePool.failureMode=FailClosed"), `router.inferencePool.failureMode is "FailClosed": use FailOpen or FailClose`},
		"nine ports":             {standalone, on(ninePorts()...), "router.modelServers.targetPorts has 9 ports: a pool has 1 to 8"},
		"port out of range":      {standalone, on("router.modelServers.targetPorts[0].number=70000"), "router.modelServers.targetPorts: 70000 is not a port"},
		"port twice":             {standalone, on("router.modelServers.targetPorts[0].number=8000", "router.modelServers.targetPorts[1].number=8000"), "router.modelServers.targetPorts names 8000 twice"},
		"server type":            {standalone, on("router.modelServers.type=tgi"), `router.modelServers.type is "tgi": use vllm, sglang`},
		"protocol":               {standalone, on("router.modelServers.protocol=h2c"), `router.modelServers.protocol is "h2c": use http or grpc`},
		"prefixes apart":         {standalone, on("router.epp.replicas=2", "router.epp.flags.ha-enable-leader-election=false", "router.epp.pluginsConfigFile=a.yaml", `router.epp.pluginsCustomConfig.a\.yaml=plugins: [prefix-cache-scorer]`), "a.yaml of router.epp.pluginsCustomConfig uses prefix-cache-scorer, which each of several answering replicas would do by itself"},
		"scaled behind a leader": {standalone, on("router.epp.autoscaling.enabled=true"), "router.epp.autoscaling needs replicas that all answer"},
		"scaled wrongly":         {standalone, on("router.epp.autoscaling.enabled=true", "router.epp.flags.ha-enable-leader-election=false", "router.epp.autoscaling.minReplicas=6"), "router.epp.autoscaling.minReplicas is 6 and maxReplicas 5"},
		"no such file":           {standalone, on("router.epp.pluginsConfigFile=mine.yaml"), `router.epp.pluginsConfigFile is "mine.yaml", which is no file there is: add it to router.epp.pluginsCustomConfig, or use one of default-plugins.yaml, payload-agnostic.yaml`},
		"flag of the chart":      {standalone, on("router.epp.flags.pool-name=x"), "router.epp.flags.pool-name is set by the chart: use the release's name instead"},
		"picker of others":       {standalone, on("router.epp.image.repository=llm-d-router-endpoint-picker"), "router.epp.image names the llm-d Router's own picker"},

		"gateway: proxy":         {gateway, on("router.proxy.enabled=true"), "router.proxy.enabled is for the chart llm-d-router-standalone"},
		"gateway: route alone":   {gateway, []string{"httpRoute.create=true"}, "router.modelServers.matchLabels is required"},
		"gateway: provider":      {gateway, on("provider.name=nginx"), `provider.name is "nginx": use none, istio or gke`},
		"gateway: istio alone":   {gateway, []string{"provider.name=istio"}, "router.modelServers.matchLabels is required"},
		"gateway: nothing":       {gateway, []string{"controlPlane.enabled=false"}, "router.modelServers.matchLabels is required"},
		"gateway: mode":          {gateway, on("router.proxy.mode=service"), "router.proxy.enabled is false"},
		"schema: type":           {standalone, on("router.epp.extProcPort=x"), "at '/epp/extProcPort': got string, want integer"},
		"schema: a name at fail": {standalone, on("router.inferenceObjectives[0].priority=1"), "missing property 'name'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := of(t, c.chart, c.values...).render(t)
			if err == nil {
				t.Fatalf("not refused; want %q", c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestAccepted: what is near to a refusal and is meant.
func TestAccepted(t *testing.T) {
	for name, r := range map[string]release{
		"control plane alone":       of(t, gateway),
		"prefixes behind a leader":  of(t, standalone, labelled, "router.epp.replicas=2", "router.epp.pluginsConfigFile=a.yaml", `router.epp.pluginsCustomConfig.a\.yaml=plugins: [prefix-cache-scorer]`),
		"prefixes told by servers":  of(t, standalone, labelled, "router.epp.replicas=2", "router.epp.flags.ha-enable-leader-election=false", "router.epp.pluginsConfigFile=a.yaml", `router.epp.pluginsCustomConfig.a\.yaml=plugins: [precise-prefix-cache-producer\, prefix-cache-scorer]`),
		"waiting for a file":        of(t, standalone, labelled, "router.proxy.config=static", "router.proxy.startupProbe.httpGet.port=19001"),
		"waiting elsewhere":         of(t, standalone, labelled, "router.proxy.mode=service", "router.proxy.startupProbe.httpGet.port=19001"),
		"fail open not said":        of(t, standalone, labelled, "router.proxy.failOpen=null"),
		"another port without name": of(t, standalone, labelled, "router.extraServicePorts[0].name=http", "router.extraServicePorts[0].port=80", "router.extraServicePorts[1].port=81"),
		"a global value":            of(t, standalone, labelled, "global.anything=1"),
	} {
		if _, err := r.render(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func ninePorts() []string {
	var out []string
	for i := range 9 {
		out = append(out, fmt.Sprintf("router.modelServers.targetPorts[%d].number=%d", i, 8000+i))
	}
	return out
}
