{{/* Names and labels. All take the chart's root. */}}
{{- define "routerlib.epp" -}}
{{- printf "%s-epp" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}

{{- define "routerlib.proxy" -}}
{{- printf "%s-proxy" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}

{{/* Where proxies of their own Deployment find every replica of the picker, ready or not. */}}
{{- define "routerlib.peers" -}}
{{- printf "%s-peers" (include "routerlib.epp" .) -}}
{{- end -}}

{{/* Where proxies with a plain configuration find the model servers. */}}
{{- define "routerlib.servers" -}}
{{- printf "%s-servers" (include "routerlib.epp" .) -}}
{{- end -}}

{{/* Cluster-wide objects carry the namespace in their name, so that releases of one name do not meet. */}}
{{- define "routerlib.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "routerlib.epp" .) -}}
{{- end -}}

{{- define "routerlib.metricsReader" -}}
{{- printf "%s-metrics-reader" (include "routerlib.epp" .) -}}
{{- end -}}

{{- define "routerlib.metricsSecret" -}}
{{- default (include "routerlib.metricsReader" .) .Values.router.monitoring.prometheus.auth.secretName -}}
{{- end -}}

{{- define "routerlib.isStandalone" -}}
{{- if eq .Chart.Name "llm-d-router-standalone" }}true{{ end -}}
{{- end -}}

{{- define "routerlib.mode" -}}
{{- ternary "llm-d-router-standalone" "llm-d-router-gateway" (eq .Values.router.inferencePool.create false) -}}
{{- end -}}

{{/* What selects the picker's pods; it must never change, since a Deployment's selector cannot. */}}
{{- define "routerlib.epp.selector" -}}
{{ include "routerlib.mode" . }}: {{ include "routerlib.epp" . }}
{{- end -}}

{{- define "routerlib.proxy.selector" -}}
llm-d-router-proxy: {{ include "routerlib.proxy" . }}
{{- end -}}

{{- define "routerlib.commonLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "routerlib.epp.labels" -}}
app.kubernetes.io/name: {{ include "routerlib.epp" . }}
{{ include "routerlib.commonLabels" . }}
{{- end -}}

{{- define "routerlib.proxy.labels" -}}
app.kubernetes.io/name: {{ include "routerlib.proxy" . }}
{{ include "routerlib.commonLabels" . }}
{{- end -}}

{{/* The pool as proxies and picker name it to each other. */}}
{{- define "routerlib.pool" -}}
{{- $own := ternary (include "routerlib.epp" .) .Release.Name (eq .Values.router.inferencePool.create false) -}}
{{- printf "%s/%s" .Release.Namespace $own -}}
{{- end -}}

{{- define "routerlib.dns" -}}
{{- printf "%s.%s.svc.%s" .name .root.Release.Namespace .root.Values.router.clusterDomain -}}
{{- end -}}

{{/* registry/repository:tag of an image, with the chart's version where there is no tag. */}}
{{- define "routerlib.image" -}}
{{- $name := .image.repository -}}
{{- with .image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- printf "%s:%v" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}

{{/* Ports of the picker's process, which its flags may move. */}}
{{- define "routerlib.port.extProc" -}}{{ index .Values.router.epp.flags "grpc-port" | default 9002 }}{{- end -}}
{{- define "routerlib.port.metrics" -}}{{ index .Values.router.epp.flags "metrics-port" | default 9090 }}{{- end -}}
{{- define "routerlib.port.health" -}}{{ .Values.router.epp.grpcHealthPort | default 9003 }}{{- end -}}
{{- define "routerlib.port.xds" -}}18000{{- end -}}

{{/* Whether several replicas run, and whether one of them leads. */}}
{{- define "routerlib.several" -}}
{{- if or .Values.router.epp.autoscaling.enabled (gt (int .Values.router.epp.replicas) 1) }}true{{ end -}}
{{- end -}}

{{- define "routerlib.leaderFlag" -}}
{{- if hasKey .Values.router.epp.flags "ha-enable-leader-election" -}}
{{- index .Values.router.epp.flags "ha-enable-leader-election" | toString -}}
{{- end -}}
{{- end -}}

{{- define "routerlib.leads" -}}
{{- $flag := include "routerlib.leaderFlag" . -}}
{{- if eq $flag "true" }}true{{ else if eq $flag "false" }}{{ else if include "routerlib.preferred" . }}{{ else if include "routerlib.several" . }}true{{ end -}}
{{- end -}}

{{- define "routerlib.activeActive" -}}
{{- if and (or (include "routerlib.several" .) (include "routerlib.preferred" .)) (not (include "routerlib.leads" .)) }}true{{ end -}}
{{- end -}}

{{/* GKE sends requests to some replicas first: values of the gateway chart. */}}
{{- define "routerlib.preferred" -}}
{{- if and (hasKey .Values "provider") (eq .Values.provider.name "gke") .Values.provider.gke.preferredBackends.enabled }}true{{ end -}}
{{- end -}}

{{- define "routerlib.secure" -}}
{{- $flags := .Values.router.epp.flags -}}
{{- if hasKey $flags "secure-serving" -}}
{{- if ne (index $flags "secure-serving" | toString) "false" }}true{{ end -}}
{{- else if ne (include "routerlib.proxy.type" .) "agentgateway" -}}true{{- end -}}
{{- end -}}

{{- define "routerlib.metricsAuth" -}}
{{- $flags := .Values.router.epp.flags -}}
{{- if and .Values.router.monitoring.prometheus.auth.enabled (ne (index $flags "metrics-endpoint-auth" | toString) "false") }}true{{ end -}}
{{- end -}}

{{/* A component's own settings merged over the release's. */}}
{{- define "routerlib.containerSecurity" -}}
{{- toYaml (mustMergeOverwrite (deepCopy .root.Values.router.containerSecurityContext) (deepCopy (.own | default dict))) -}}
{{- end -}}

{{- define "routerlib.podSecurity" -}}
{{- toYaml (mustMergeOverwrite (deepCopy .root.Values.router.podSecurityContext) (deepCopy (.own | default dict))) -}}
{{- end -}}

{{/* The constraints given, each with our selector where it names none; else over nodes, as far as there are any. */}}
{{- define "routerlib.spread" -}}
{{- $selector := dict "matchLabels" (fromYaml .selector) -}}
{{- $default := list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway") -}}
{{- $out := list -}}
{{- range default $default .constraints -}}
{{- $out = append $out (mustMerge (deepCopy .) (dict "labelSelector" $selector)) -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* Environment as a list, whether it was given as one or as name: value. */}}
{{- define "routerlib.env" -}}
{{- if kindIs "map" . -}}
{{- $out := list -}}
{{- range $name := keys . | sortAlpha }}{{ $out = append $out (dict "name" $name "value" (index $ $name | toString)) }}{{ end -}}
{{- with $out }}{{ toYaml . }}{{ end -}}
{{- else if . -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "routerlib.selectorText" -}}
{{- $out := list -}}
{{- $labels := .Values.router.modelServers.matchLabels -}}
{{- range $key := keys $labels | sortAlpha }}{{ $out = append $out (printf "%s=%v" $key (index $labels $key)) }}{{ end -}}
{{- join "," $out -}}
{{- end -}}

{{- define "routerlib.targetPortsText" -}}
{{- $out := list -}}
{{- range .Values.router.modelServers.targetPorts }}{{ $out = append $out (printf "%d" (int .number)) }}{{ end -}}
{{- join "," $out -}}
{{- end -}}

{{- define "routerlib.appProtocol" -}}
{{- ternary "kubernetes.io/h2c" "http" (eq .Values.router.modelServers.protocol "grpc") -}}
{{- end -}}
