{{/* Refusals, each a sentence that says what to change. Types and unknown keys are refused by values.schema.json before. */}}
{{- define "routerlib.validate" -}}
{{- include "routerlib.validate.legacy" . -}}
{{- include "routerlib.validate.known" . -}}
{{- include "routerlib.validate.pool" . -}}
{{- include "routerlib.validate.epp" . -}}
{{- include "routerlib.validate.replicas" . -}}
{{- include "routerlib.validate.proxy" . -}}
{{- end -}}

{{- define "routerlib.validate.legacy" -}}
{{- range $old, $new := dict "inferenceExtension" "router.epp" "inferencePool" "router.inferencePool and router.modelServers" "experimentalHttpRoute" "httpRoute (chart llm-d-router-gateway)" "inferenceObjectives" "router.inferenceObjectives" -}}
{{- if hasKey $.Values $old }}{{ fail (printf "%s is where values stood in older charts: move what is below it to %s" $old $new) }}{{ end -}}
{{- end -}}
{{- if hasKey .Values.router.proxy "agentgateway" }}{{ fail "router.proxy.agentgateway is no longer there: agentgateway's backend is made of router.modelServers; remove it" }}{{ end -}}
{{- end -}}

{{- define "routerlib.validate.pool" -}}
{{- $r := .Values.router -}}
{{- if not $r.modelServers.matchLabels -}}
{{- fail (printf "router.modelServers.matchLabels is required: give the labels of the model servers' pods, such as --set router.modelServers.matchLabels.app=my-model-server%s" (ternary "; with router.inferencePool.create=false they are all that the picker finds them by" "" (eq $r.inferencePool.create false))) -}}
{{- end -}}
{{- if not (has $r.modelServers.type (list "vllm" "sglang" "triton-tensorrt-llm" "trtllm-serve" "triton")) }}{{ fail (printf "router.modelServers.type is %q: use vllm, sglang, triton-tensorrt-llm, trtllm-serve or triton" $r.modelServers.type) }}{{ end -}}
{{- if not (has $r.modelServers.protocol (list "http" "grpc")) }}{{ fail (printf "router.modelServers.protocol is %q: use http or grpc" $r.modelServers.protocol) }}{{ end -}}
{{- $ports := len $r.modelServers.targetPorts -}}
{{- if or (lt $ports 1) (gt $ports 8) }}{{ fail (printf "router.modelServers.targetPorts has %d ports: a pool has 1 to 8" $ports) }}{{ end -}}
{{- $seen := dict -}}
{{- range $r.modelServers.targetPorts -}}
{{- if or (lt (int .number) 1) (gt (int .number) 65535) }}{{ fail (printf "router.modelServers.targetPorts: %v is not a port: use 1 to 65535" .number) }}{{ end -}}
{{- if hasKey $seen (toString .number) }}{{ fail (printf "router.modelServers.targetPorts names %v twice: name each port once" .number) }}{{ end -}}
{{- $_ := set $seen (toString .number) true -}}
{{- end -}}
{{- if not (has $r.inferencePool.failureMode (list "FailOpen" "FailClose")) }}{{ fail (printf "router.inferencePool.failureMode is %q: use FailOpen or FailClose" $r.inferencePool.failureMode) }}{{ end -}}
{{- if and $r.inferenceObjectives (eq $r.inferencePool.create false) }}{{ fail "router.inferenceObjectives need an InferencePool to refer to: leave router.inferencePool.create at true, or remove router.inferenceObjectives" }}{{ end -}}
{{- end -}}

{{- define "routerlib.validate.epp" -}}
{{- $epp := .Values.router.epp -}}
{{- if not $epp.resources }}{{ fail "router.epp.resources is required: give its requests.cpu and requests.memory" }}{{ end -}}
{{- if not $epp.resources.requests }}{{ fail "router.epp.resources.requests is required: give its cpu and memory" }}{{ end -}}
{{- if not $epp.resources.requests.cpu }}{{ fail "router.epp.resources.requests.cpu is required: give the cores that the picker needs, such as \"8\"" }}{{ end -}}
{{- if not $epp.resources.requests.memory }}{{ fail "router.epp.resources.requests.memory is required: give the memory that the picker needs, such as 8Gi" }}{{ end -}}
{{- if eq $epp.image.repository "llm-d-router-endpoint-picker" }}{{ fail "router.epp.image names the llm-d Router's own picker, which this chart cannot run: remove router.epp.image, or point it at a copy of ghcr.io/switchyard/switchyard" }}{{ end -}}
{{- if and .Values.router.tokenizer.enabled (not .Values.router.tokenizer.modelName) }}{{ fail "router.tokenizer.modelName is required with router.tokenizer.enabled: name the model whose tokenizer is used" }}{{ end -}}
{{- $files := concat (list "default-plugins.yaml" "payload-agnostic.yaml") (keys $epp.pluginsCustomConfig) -}}
{{- if not (has $epp.pluginsConfigFile $files) }}{{ fail (printf "router.epp.pluginsConfigFile is %q, which is no file there is: add it to router.epp.pluginsCustomConfig, or use one of %s" $epp.pluginsConfigFile (join ", " ($files | uniq | sortAlpha))) }}{{ end -}}
{{- range $name := list "pool-name" "pool-namespace" "pool-group" "endpoint-selector" "endpoint-target-ports" "config-file" "config-text" "grpc-health-port" "tracing" -}}
{{- $instead := dict "pool-name" "the release's name" "pool-namespace" "the release's namespace" "pool-group" "nothing: there is one" "endpoint-selector" "router.modelServers.matchLabels with router.inferencePool.create=false" "endpoint-target-ports" "router.modelServers.targetPorts" "config-file" "router.epp.pluginsConfigFile" "config-text" "router.epp.pluginsCustomConfig" "grpc-health-port" "router.epp.grpcHealthPort" "tracing" "router.tracing.enabled" -}}
{{- if hasKey $epp.flags $name }}{{ fail (printf "router.epp.flags.%s is set by the chart: use %s instead" $name (index $instead $name)) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "routerlib.validate.replicas" -}}
{{- $epp := .Values.router.epp -}}
{{- if lt (int $epp.replicas) 1 }}{{ fail (printf "router.epp.replicas is %v: give at least 1; to stop a release, uninstall it or scale its Deployment" $epp.replicas) }}{{ end -}}
{{- if $epp.autoscaling.enabled -}}
{{- if ne (include "routerlib.leaderFlag" .) "false" }}{{ fail "router.epp.autoscaling needs replicas that all answer, for of those with a leader one does the work: set router.epp.flags.ha-enable-leader-election=false, or turn router.epp.autoscaling.enabled off" }}{{ end -}}
{{- if gt (int $epp.autoscaling.minReplicas) (int $epp.autoscaling.maxReplicas) }}{{ fail (printf "router.epp.autoscaling.minReplicas is %v and maxReplicas %v: let minReplicas be no more than maxReplicas" $epp.autoscaling.minReplicas $epp.autoscaling.maxReplicas) }}{{ end -}}
{{- end -}}
{{- if and (include "routerlib.activeActive" .) (hasKey $epp.pluginsCustomConfig $epp.pluginsConfigFile) -}}
{{- $text := index $epp.pluginsCustomConfig $epp.pluginsConfigFile -}}
{{- if not (kindIs "string" $text) }}{{ $text = toYaml $text }}{{ end -}}
{{- range $type := list "prefix-cache-scorer" "approx-prefix-cache-producer" "no-hit-lru-scorer" -}}
{{- if and (contains $type $text) (not (contains "precise-prefix-cache-producer" $text)) }}{{ fail (printf "%s of router.epp.pluginsCustomConfig uses %s, which each of several answering replicas would do by itself, and send one prefix to several servers: let one replica lead (remove router.epp.flags.ha-enable-leader-election), or take the plugin out" $epp.pluginsConfigFile $type) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "routerlib.validate.proxy" -}}
{{- $proxy := .Values.router.proxy -}}
{{- if hasKey $proxy "mode" -}}
{{- if not (has $proxy.mode (list "sidecar" "service")) }}{{ fail (printf "router.proxy.mode is %q: use sidecar or service" (toString $proxy.mode)) }}{{ end -}}
{{- if not (or (kindIs "bool" $proxy.failOpen) (kindIs "invalid" $proxy.failOpen)) }}{{ fail (printf "router.proxy.failOpen must be true or false, not %q" (toString $proxy.failOpen)) }}{{ end -}}
{{- if and (eq $proxy.mode "service") (not $proxy.enabled) }}{{ fail "router.proxy.mode=service is about proxies, and router.proxy.enabled is false: set router.proxy.enabled=true, or leave router.proxy.mode out" }}{{ end -}}
{{- end -}}
{{- if $proxy.enabled -}}
{{- if not (include "routerlib.isStandalone" .) }}{{ fail "router.proxy.enabled is for the chart llm-d-router-standalone: here the Gateway has its own proxies; leave it out" }}{{ end -}}
{{- $type := include "routerlib.proxy.type" . -}}
{{- if not (has $type (list "envoy" "agentgateway")) }}{{ fail (printf "router.proxy.proxyType is %q: use envoy or agentgateway" $proxy.proxyType) }}{{ end -}}
{{- if not (has $proxy.config (list "xds" "static")) }}{{ fail (printf "router.proxy.config is %q: use xds or static" (toString $proxy.config)) }}{{ end -}}
{{- include "routerlib.validate.listener" . -}}
{{- if and (include "routerlib.proxy.xds" .) (eq (index .Values.router.epp.flags "health-checking" | toString) "false") }}{{ fail "router.epp.flags.health-checking has to be true with router.proxy.config=xds, for proxies ask a picker for its health before they ask it for anything: remove it" }}{{ end -}}
{{- if and (include "routerlib.proxy.sidecar" .) (include "routerlib.proxy.xds" .) (include "routerlib.proxy.settings" . | fromYaml).startupProbe }}{{ fail "router.proxy.startupProbe would have the picker wait for the proxy that starts before it in its pod, and the proxy gets its configuration from the picker: remove it, or set router.proxy.mode=service" }}{{ end -}}
{{- if lt (int $proxy.replicas) 1 }}{{ fail (printf "router.proxy.replicas is %v: give at least 1" $proxy.replicas) }}{{ end -}}
{{- if and $proxy.autoscaling.enabled (ne $proxy.mode "service") }}{{ fail "router.proxy.autoscaling needs proxies of their own: set router.proxy.mode=service" }}{{ end -}}
{{- if and $proxy.autoscaling.enabled (gt (int $proxy.autoscaling.minReplicas) (int $proxy.autoscaling.maxReplicas)) }}{{ fail (printf "router.proxy.autoscaling.minReplicas is %v and maxReplicas %v: let minReplicas be no more than maxReplicas" $proxy.autoscaling.minReplicas $proxy.autoscaling.maxReplicas) }}{{ end -}}
{{- if eq $type "agentgateway" }}{{ include "routerlib.validate.agentgateway" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The extra Service port called http. */}}
{{- define "routerlib.validate.listener" -}}
{{- $count := 0 -}}
{{- range .Values.router.extraServicePorts -}}
{{- if eq (toString .name) "http" -}}
{{- $count = add $count 1 -}}
{{- if not (hasKey . "port") }}{{ fail "router.extraServicePorts: the port called http has no port: give its number" }}{{ end -}}
{{- include "routerlib.validate.port" (dict "field" "port" "value" .port) -}}
{{- $target := .targetPort -}}
{{- if and (hasKey . "targetPort") (ne (toString $target) "http") -}}
{{- include "routerlib.validate.port" (dict "field" "targetPort" "value" $target) -}}
{{- if and (eq (include "routerlib.proxy.type" $) "agentgateway") (ne (int $target) (int .port)) }}{{ fail (printf "router.extraServicePorts: the targetPort of the port called http is %v: with router.proxy.proxyType=agentgateway leave it out, or let it be %v or \"http\"" $target .port) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $count 0 }}{{ fail "router.extraServicePorts has no port called http, on which proxies listen: add {name: http, port: 8081, protocol: TCP, targetPort: 8081}" }}{{ end -}}
{{- if gt $count 1 }}{{ fail (printf "router.extraServicePorts has %d ports called http: proxies listen on one; give the others another name" $count) }}{{ end -}}
{{- end -}}

{{- define "routerlib.validate.port" -}}
{{- if not (regexMatch "^[0-9]+$" (toString .value)) }}{{ fail (printf "router.extraServicePorts: the %s of the port called http is %q, which is not a number: use 1 to 65535" .field (toString .value)) }}{{ end -}}
{{- if or (lt (int .value) 1) (gt (int .value) 65535) }}{{ fail (printf "router.extraServicePorts: the %s of the port called http is %v: use 1 to 65535" .field .value) }}{{ end -}}
{{- end -}}

{{- define "routerlib.validate.agentgateway" -}}
{{- $proxy := .Values.router.proxy -}}
{{- if ne .Values.router.inferencePool.create false }}{{ fail "router.proxy.proxyType=agentgateway routes to pods by their labels: set router.inferencePool.create=false" }}{{ end -}}
{{- $flags := .Values.router.epp.flags -}}
{{- if and (hasKey $flags "secure-serving") (ne (index $flags "secure-serving" | toString) "false") }}{{ fail "router.epp.flags.secure-serving has to be false with router.proxy.proxyType=agentgateway, which asks the picker without TLS: remove it, or set it to false" }}{{ end -}}
{{- end -}}
