{{/* What tells Prometheus where to read, and the token that it shows to the picker. */}}
{{- define "routerlib.monitoring" -}}
{{- $m := .Values.router.monitoring -}}
{{- if $m.prometheus.enabled }}
{{- if include "routerlib.metricsAuth" . }}
{{ include "routerlib.monitoring.reader" . }}
{{- end }}
{{- if eq $m.provider.name "gmp" }}
{{ include "routerlib.monitoring.gmp" . }}
{{- else }}
{{ include "routerlib.monitoring.operator" . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A reader of its own, who may read /metrics and nothing else: the picker's own token stays with the picker. */}}
{{- define "routerlib.monitoring.reader" -}}
{{- $reader := include "routerlib.metricsReader" . -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $reader }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "routerlib.metricsSecret" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
  annotations:
    kubernetes.io/service-account.name: {{ $reader }}
type: kubernetes.io/service-account-token
{{- if .Values.router.rbac.clusterScope }}
{{ include "routerlib.clusterRole" (dict "root" . "name" (printf "%s-metrics-reader" (include "routerlib.clusterName" .)) "account" $reader "rules" "- {nonResourceURLs: [/metrics], verbs: [get]}") }}
{{- end }}
{{- end -}}

{{- define "routerlib.monitoring.operator" -}}
{{- $m := .Values.router.monitoring -}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "routerlib.epp" . }}-monitor
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
    {{- with $m.prometheus.extraLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  endpoints:
  - interval: {{ $m.interval | quote }}
    port: http-metrics
    path: /metrics
    {{- if index .Values.router.epp.flags "metrics-cert-dir" }}
    scheme: https
    tlsConfig: {insecureSkipVerify: true}
    {{- end }}
    {{- if include "routerlib.metricsAuth" . }}
    authorization:
      type: Bearer
      credentials: {name: {{ include "routerlib.metricsSecret" . }}, key: token}
    {{- end }}
  namespaceSelector:
    matchNames: [{{ .Release.Namespace }}]
  selector:
    matchLabels:
      {{- include "routerlib.epp.selector" . | nindent 6 }}
{{- if .Values.router.proxy.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
    {{- with $m.prometheus.extraLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  podMetricsEndpoints:
  - interval: {{ $m.interval | quote }}
    portNumber: {{ include "routerlib.proxy.metricsPort" . }}
    path: {{ include "routerlib.proxy.metricsPath" . }}
  namespaceSelector:
    matchNames: [{{ .Release.Namespace }}]
  selector:
    matchLabels:
      {{- include "routerlib.proxy.podLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "routerlib.proxy.metricsPath" -}}
{{- ternary "/stats/prometheus" "/metrics" (eq (include "routerlib.proxy.type" .) "envoy") -}}
{{- end -}}

{{/* The pods that proxies are in. */}}
{{- define "routerlib.proxy.podLabels" -}}
{{- if include "routerlib.proxy.service" . }}{{ include "routerlib.proxy.selector" . }}{{ else }}{{ include "routerlib.epp.selector" . }}{{ end -}}
{{- end -}}

{{- define "routerlib.monitoring.gmp" -}}
{{- $m := .Values.router.monitoring -}}
---
apiVersion: monitoring.googleapis.com/v1
kind: PodMonitoring
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  endpoints:
  - port: metrics
    {{- if index .Values.router.epp.flags "metrics-cert-dir" }}
    scheme: https
    tls: {insecureSkipVerify: true}
    {{- else }}
    scheme: http
    {{- end }}
    interval: {{ $m.interval | quote }}
    path: /metrics
    {{- if include "routerlib.metricsAuth" . }}
    authorization:
      type: Bearer
      credentials:
        secret: {name: {{ include "routerlib.metricsSecret" . }}, key: token}
    {{- end }}
  selector:
    matchLabels:
      {{- include "routerlib.epp.selector" . | nindent 6 }}
{{- if .Values.router.proxy.enabled }}
---
apiVersion: monitoring.googleapis.com/v1
kind: PodMonitoring
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
spec:
  endpoints:
  - port: {{ include "routerlib.proxy.metricsPort" . }}
    scheme: http
    interval: {{ $m.interval | quote }}
    path: {{ include "routerlib.proxy.metricsPath" . }}
  selector:
    matchLabels:
      {{- include "routerlib.proxy.podLabels" . | nindent 6 }}
{{- end }}
{{- if include "routerlib.metricsAuth" . }}
{{- $collector := printf "- {kind: ServiceAccount, name: collector, namespace: %s}" (ternary "gke-gmp-system" "gmp-system" (eq $m.provider.gmp.autopilot true)) }}
{{ include "routerlib.role" (dict "root" . "name" (include "routerlib.metricsReader" .) "subjects" $collector "rules" (printf "- {apiGroups: [\"\"], resources: [secrets], resourceNames: [%s], verbs: [get, list, watch]}" (include "routerlib.metricsSecret" .))) }}
{{- end }}
{{- end -}}

{{/* Dashboards of the chart's folder. */}}
{{- define "routerlib.dashboards" -}}
{{- $d := .Values.router.monitoring.dashboards -}}
{{- if $d.enabled -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "routerlib.epp" . }}-dashboards
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
    {{- with $d.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $d.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  {{- range $path, $_ := .Files.Glob "dashboards/*.json" }}
  {{ base $path }}: |
    {{- $.Files.Get $path | trim | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
