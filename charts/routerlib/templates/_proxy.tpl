{{/* Proxies: beside the picker in its pod (sidecar), or in a Deployment of their own (service). */}}
{{- define "routerlib.proxy.type" -}}
{{- if .Values.router.proxy.enabled }}{{ .Values.router.proxy.proxyType | default "envoy" | lower }}{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.sidecar" -}}
{{- if and .Values.router.proxy.enabled (eq (.Values.router.proxy.mode | default "sidecar") "sidecar") }}true{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.service" -}}
{{- if and .Values.router.proxy.enabled (eq (.Values.router.proxy.mode | default "sidecar") "service") }}true{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.static" -}}
{{- if and (eq (include "routerlib.proxy.type" .) "envoy") (eq .Values.router.proxy.config "static") }}true{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.xds" -}}
{{- if and (eq (include "routerlib.proxy.type" .) "envoy") (ne .Values.router.proxy.config "static") }}true{{ end -}}
{{- end -}}

{{/* Not said means true for proxies of their own, false for one beside the picker. */}}
{{- define "routerlib.proxy.failOpen" -}}
{{- if kindIs "bool" .Values.router.proxy.failOpen }}{{ .Values.router.proxy.failOpen }}{{ else }}{{ ternary "true" "false" (eq (include "routerlib.proxy.service" .) "true") }}{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.view" -}}
{{- printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- end -}}

{{/* The port on which proxies listen: what the extra Service port called http leads to. */}}
{{- define "routerlib.proxy.port" -}}
{{- range .Values.router.extraServicePorts -}}
{{- if eq (toString .name) "http" -}}
{{- if or (not .targetPort) (eq (toString .targetPort) "http") }}{{ int .port }}{{ else }}{{ int .targetPort }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The preset of the proxy's type, and over it, key by key, what stands under proxy itself. */}}
{{- define "routerlib.proxy.settings" -}}
{{- $proxy := .Values.router.proxy -}}
{{- $preset := index $proxy.presets (include "routerlib.proxy.type" .) | default dict -}}
{{- toYaml (mustMergeOverwrite (deepCopy $preset) (omit $proxy "presets")) -}}
{{- end -}}

{{- define "routerlib.proxy.configName" -}}
{{- $settings := include "routerlib.proxy.settings" . | fromYaml -}}
{{- default (include "routerlib.proxy" .) ($settings.configMap | default dict).name -}}
{{- end -}}

{{/* The files that a proxy is started with, by name. */}}
{{- define "routerlib.proxy.files" -}}
{{- $settings := include "routerlib.proxy.settings" . | fromYaml -}}
{{- $files := dict -}}
{{- if include "routerlib.proxy.static" . }}{{ $_ := set $files "envoy.yaml" (include "routerlib.envoy.static" .) }}
{{- else if include "routerlib.proxy.xds" . }}{{ $_ := set $files "envoy.yaml" (include "routerlib.envoy.bootstrap" .) }}
{{- else }}{{ $_ := set $files "config.yaml" (include "routerlib.agentgateway" .) }}{{ end -}}
{{- if include "routerlib.proxy.secured" . -}}
{{- $_ := set $files "sds-certificate.yaml" (include "routerlib.envoy.sds.certificate" .) -}}
{{- $_ := set $files "sds-ca.yaml" (include "routerlib.envoy.sds.ca" .) -}}
{{- end -}}
{{- $files = mustMergeOverwrite $files (($settings.configMap | default dict).data | default dict) -}}
{{- range $name := keys $files | sortAlpha }}
{{ $name }}: |
  {{- index $files $name | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "routerlib.proxy.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "routerlib.proxy.configName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
data:
  {{- include "routerlib.proxy.files" . | nindent 2 }}
{{- end -}}

{{/* A proxy reads its file once. */}}
{{- define "routerlib.proxy.checksum" -}}
checksum/proxy-config: {{ include "routerlib.proxy.files" . | sha256sum | trunc 20 | quote }}
{{- end -}}

{{/* Envoy is a restartable init container: it ends after the drainer, which waits for its streams. */}}
{{- define "routerlib.proxy.container" -}}
{{- $s := include "routerlib.proxy.settings" . | fromYaml -}}
{{- $envoy := eq (include "routerlib.proxy.type" .) "envoy" -}}
- name: {{ $s.name }}
  image: {{ $s.image }}
  imagePullPolicy: {{ $s.imagePullPolicy | default "IfNotPresent" }}
  {{- if $envoy }}
  restartPolicy: Always
  {{- end }}
  {{- with $s.command }}
  command:
    {{- kindIs "string" . | ternary (list .) . | toYaml | nindent 4 }}
  {{- end }}
  {{- with $s.args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "routerlib.env" $s.env }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  ports:
    {{- include "routerlib.proxy.ports" . | nindent 4 }}
  {{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
  {{- with index $s $probe }}
  {{ $probe }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $s.lifecycle }}
  lifecycle:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $s.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" . "own" $s.securityContext) | nindent 4 }}
  volumeMounts:
    {{- if $s.volumeMounts }}
    {{- toYaml $s.volumeMounts | nindent 4 }}
    {{- else }}
    - {name: proxy-config, mountPath: {{ ternary (include "routerlib.envoy.dir" .) "/config" $envoy }}, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- end }}
    {{- if include "routerlib.proxy.secured" . }}
    {{- include "routerlib.identity.mount" . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The preset's ports, of which the first is where it listens, unless others are given. */}}
{{- define "routerlib.proxy.ports" -}}
{{- $s := include "routerlib.proxy.settings" . | fromYaml -}}
{{- if .Values.router.proxy.ports -}}
{{- toYaml .Values.router.proxy.ports -}}
{{- else -}}
{{- $number := include "routerlib.proxy.port" . | int -}}
{{- $ports := deepCopy $s.ports -}}
{{- $first := set (first $ports) "containerPort" $number -}}
{{- if hasPrefix "http-" $first.name }}{{ $_ := set $first "name" (printf "http-%d" $number) }}{{ end -}}
{{- toYaml $ports -}}
{{- end -}}
{{- end -}}

{{- define "routerlib.proxy.volumes" -}}
{{- $s := include "routerlib.proxy.settings" . | fromYaml -}}
{{- if $s.volumes -}}
{{- toYaml $s.volumes -}}
{{- else -}}
- name: proxy-config
  configMap: {name: {{ include "routerlib.proxy.configName" . }}}
{{- end -}}
{{- end -}}

{{/* How long open requests are waited for, in seconds. Beside the picker the pod's end is the picker's. */}}
{{- define "routerlib.proxy.drainSeconds" -}}
{{- $most := sub (int .Values.router.epp.terminationGracePeriodSeconds) 20 | max 1 -}}
{{- if include "routerlib.proxy.service" . }}{{ int .Values.router.proxy.drainSeconds }}{{ else }}{{ min (int .Values.router.proxy.drainSeconds) $most }}{{ end -}}
{{- end -}}

{{- define "routerlib.proxy.drainer" -}}
{{- $epp := .Values.router.epp -}}
- name: drain
  image: {{ include "routerlib.image" (dict "root" . "image" $epp.image) }}
  imagePullPolicy: {{ $epp.image.pullPolicy }}
  command: [/controlplane, drain]
  args: [--admin, "127.0.0.1:19000", --limit, {{ include "routerlib.proxy.drainSeconds" . }}s]
  resources:
    requests: {cpu: 5m, memory: 32Mi}
    limits: {memory: 128Mi}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" . "own" dict) | nindent 4 }}
{{- end -}}

{{- define "routerlib.proxy.deployment" -}}
{{- if include "routerlib.proxy.service" . -}}
{{- $s := include "routerlib.proxy.settings" . | fromYaml -}}
{{- $envoy := eq (include "routerlib.proxy.type" .) "envoy" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
spec:
  {{- if not $s.autoscaling.enabled }}
  replicas: {{ $s.replicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    # A proxy goes only after the one in its place serves.
    rollingUpdate: {maxUnavailable: 0, maxSurge: 25%}
  selector:
    matchLabels:
      {{- include "routerlib.proxy.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ include "routerlib.proxy" . }}
        app.kubernetes.io/instance: {{ .Release.Name }}
        {{- include "routerlib.proxy.selector" . | nindent 8 }}
        {{- with $s.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- include "routerlib.proxy.checksum" . | nindent 8 }}
        {{- with $s.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      # It asks the cluster nothing.
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ add (include "routerlib.proxy.drainSeconds" . | int) 20 }}
      {{- with .Values.router.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $s.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "routerlib.podSecurity" (dict "root" . "own" $s.podSecurityContext) | nindent 8 }}
      {{- if $envoy }}
      initContainers:
      {{- include "routerlib.proxy.container" . | nindent 6 }}
      containers:
      {{- include "routerlib.proxy.drainer" . | nindent 6 }}
      {{- else }}
      containers:
      {{- include "routerlib.proxy.container" . | nindent 6 }}
      {{- end }}
      volumes:
      {{- include "routerlib.proxy.volumes" . | nindent 6 }}
      {{- if include "routerlib.proxy.secured" . }}
      {{- include "routerlib.identity.volume" . | nindent 6 }}
      {{- end }}
      - name: tmp
        emptyDir: {}
      {{- with $s.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $s.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $s.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- include "routerlib.spread" (dict "constraints" $s.topologySpreadConstraints "selector" (include "routerlib.proxy.selector" .)) | nindent 8 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
  {{- with $s.serviceAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $s.serviceType }}
  selector:
    {{- include "routerlib.proxy.selector" . | nindent 4 }}
  ports:
  {{- include "routerlib.extraPorts" . | nindent 2 }}
{{- end -}}
{{- end -}}
