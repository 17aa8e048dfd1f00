{{/* The picker's configuration files. */}}
{{- define "routerlib.configMap" -}}
{{- $epp := .Values.router.epp -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
data:
  {{- $files := dict "default-plugins.yaml" (include "routerlib.plugins.default" .) "payload-agnostic.yaml" (include "routerlib.plugins.payloadAgnostic" .) }}
  {{- range $name, $text := $epp.pluginsCustomConfig }}
  {{- $_ := set $files $name (kindIs "string" $text | ternary $text (toYaml $text)) }}
  {{- end }}
  {{- range $name := keys $files | sortAlpha }}
  {{ $name }}: |
    {{- index $files $name | trim | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Parsers to declare, one per line; none means that the picker goes by the request's path. */}}
{{- define "routerlib.plugins.parsers" -}}
{{- $m := .Values.router.modelServers -}}
{{- if .Values.router.epp.parsers }}{{ join "\n" .Values.router.epp.parsers }}
{{- else if eq $m.type "triton" }}passthrough-parser
{{- else if and (eq $m.type "vllm") (eq $m.protocol "grpc") }}vllmgrpc-parser
{{- end -}}
{{- end -}}

{{- define "routerlib.plugins.metrics" -}}
- type: metrics-data-source
  parameters:
    scheme: {{ .Values.router.epp.metricsDataSource.scheme | quote }}
    path: {{ .Values.router.epp.metricsDataSource.path | quote }}
    insecureSkipVerify: {{ .Values.router.epp.metricsDataSource.insecureSkipVerify }}
- type: core-metrics-extractor
{{- if ne .Values.router.modelServers.type "vllm" }}
  parameters:
    defaultEngine: {{ .Values.router.modelServers.type | quote }}
{{- end }}
{{- end -}}

{{/* What stands at the end of every configuration of ours. */}}
{{- define "routerlib.plugins.end" -}}
dataLayer:
  sources:
  - pluginRef: metrics-data-source
    extractors:
    - pluginRef: core-metrics-extractor
{{- with include "routerlib.plugins.parsers" . }}
requestHandler:
  parsers:
  {{- range splitList "\n" . }}
  - pluginRef: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "routerlib.plugins.declareParsers" -}}
{{- with include "routerlib.plugins.parsers" . -}}
{{- range splitList "\n" . }}
- type: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "routerlib.plugins.default" -}}
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
{{- if .Values.router.latencyPredictor.enabled }}
{{ include "routerlib.plugins.predicted" . }}
{{- else }}
{{- /* Replicas that all answer know nothing of each other's placements: a prefix scorer would pull each its own way. */}}
{{- $prefix := not (include "routerlib.activeActive" .) }}
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
{{- if $prefix }}
- type: prefix-cache-scorer
{{- end }}
{{ include "routerlib.plugins.metrics" . }}
{{- include "routerlib.plugins.declareParsers" . }}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  {{- if $prefix }}
  - pluginRef: prefix-cache-scorer
    weight: 3
  {{- end }}
{{- end }}
{{ include "routerlib.plugins.end" . }}
{{- end -}}

{{/* Endpoints by the latency that is predicted there. */}}
{{- define "routerlib.plugins.predicted" -}}
plugins:
- type: predicted-latency-producer
- type: prefix-cache-affinity-filter
  name: strict-affinity
  parameters: {affinityThreshold: 0.99, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}
- type: slo-headroom-tier-filter
- type: prefix-cache-affinity-filter
  name: loose-affinity
  parameters: {affinityThreshold: 0.80, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}
- type: latency-scorer
- type: weighted-random-picker
- type: latency-slo-admitter
{{ include "routerlib.plugins.metrics" . }}
{{- include "routerlib.plugins.declareParsers" . }}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: strict-affinity
  - pluginRef: slo-headroom-tier-filter
  - pluginRef: loose-affinity
  - pluginRef: latency-scorer
  - pluginRef: weighted-random-picker
{{- end -}}

{{/* Nothing of the request's body is looked at. */}}
{{- define "routerlib.plugins.payloadAgnostic" -}}
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: session-affinity-scorer
- type: passthrough-parser
{{ include "routerlib.plugins.metrics" . }}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: session-affinity-scorer
    weight: 3
dataLayer:
  sources:
  - pluginRef: metrics-data-source
    extractors:
    - pluginRef: core-metrics-extractor
requestHandler:
  parsers:
  - pluginRef: passthrough-parser
{{- end -}}
