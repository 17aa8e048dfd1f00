{{/* The Deployment of the picker; a StatefulSet where some replicas are preferred, for those have to have names that stay. */}}
{{- define "routerlib.deployment" -}}
{{- $epp := .Values.router.epp -}}
{{- $stateful := include "routerlib.preferred" . -}}
{{- $proxied := include "routerlib.proxy.sidecar" . -}}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" (eq $stateful "true") }}
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  {{- if $stateful }}
  replicas: {{ add (int .Values.provider.gke.preferredBackends.preferredReplicas) (int .Values.provider.gke.preferredBackends.defaultReplicas) }}
  serviceName: {{ include "routerlib.epp" . }}
  podManagementPolicy: Parallel
  {{- else }}
  {{- if not $epp.autoscaling.enabled }}
  replicas: {{ $epp.replicas }}
  {{- end }}
  strategy:
    {{- include "routerlib.epp.strategy" . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "routerlib.epp.selector" . | nindent 6 }}
  template:
    metadata:
      # Neither the chart's version nor the configuration's hash: an upgrade that changes no pod restarts none, and the picker
      # follows its file.
      labels:
        app.kubernetes.io/name: {{ include "routerlib.epp" . }}
        app.kubernetes.io/instance: {{ .Release.Name }}
        llm-d.ai/igw-mode: {{ ternary "standalone" "gateway" (eq (include "routerlib.isStandalone" .) "true") }}
        {{- include "routerlib.epp.selector" . | nindent 8 }}
        {{- with $epp.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or $proxied $epp.podAnnotations }}
      annotations:
        {{- if $proxied }}
        {{- include "routerlib.proxy.checksum" . | nindent 8 }}
        {{- end }}
        {{- with $epp.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "routerlib.epp" . }}
      terminationGracePeriodSeconds: {{ $epp.terminationGracePeriodSeconds }}
      enableServiceLinks: false
      {{- with .Values.router.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $epp.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "routerlib.podSecurity" (dict "root" . "own" $epp.podSecurityContext) | nindent 8 }}
      {{- $first := list }}
      {{- if and $proxied (eq (include "routerlib.proxy.type" .) "envoy") }}
      {{- $first = append $first (include "routerlib.proxy.container" .) }}
      {{- end }}
      {{- if and .Values.router.tokenizer.enabled .Values.router.tokenizer.initContainers }}
      {{- $first = append $first (toYaml .Values.router.tokenizer.initContainers) }}
      {{- end }}
      {{- with $first }}
      initContainers:
      {{- range . }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- end }}
      containers:
      {{- if and $proxied (eq (include "routerlib.proxy.type" .) "agentgateway") }}
      {{- include "routerlib.proxy.container" . | nindent 6 }}
      {{- end }}
      {{- include "routerlib.epp.container" . | nindent 6 }}
      {{- if and $proxied (eq (include "routerlib.proxy.type" .) "envoy") }}
      {{- include "routerlib.proxy.drainer" . | nindent 6 }}
      {{- end }}
      {{- if .Values.router.tokenizer.enabled }}
      {{- include "routerlib.tokenizer.container" . | nindent 6 }}
      {{- end }}
      {{- if .Values.router.latencyPredictor.enabled }}
      {{- include "routerlib.predictor.containers" . | nindent 6 }}
      {{- end }}
      volumes:
      - name: plugins-config-volume
        configMap: {name: {{ include "routerlib.epp" . }}}
      - name: tmp
        emptyDir: {}
      {{- if $proxied }}
      {{- include "routerlib.proxy.volumes" . | nindent 6 }}
      {{- end }}
      {{- if .Values.router.tokenizer.enabled }}
      - name: model-cache
        emptyDir: {}
      {{- with .Values.router.tokenizer.volumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- if .Values.router.latencyPredictor.enabled }}
      {{- include "routerlib.predictor.volumes" . | nindent 6 }}
      {{- end }}
      {{- with $epp.volumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with $epp.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $epp.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $epp.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- include "routerlib.spread" (dict "constraints" $epp.topologySpreadConstraints "selector" (include "routerlib.epp.selector" .)) | nindent 8 }}
{{- end -}}

{{- define "routerlib.epp.strategy" -}}
{{- with .Values.router.epp.deploymentStrategy -}}
{{- toYaml . -}}
{{- else -}}
type: RollingUpdate
{{- if include "routerlib.leads" . }}
# New replicas are ready only once one of them leads, which the old leader prevents: nobody waits for anybody.
rollingUpdate: {maxUnavailable: 100%, maxSurge: 100%}
{{- else }}
# A new replica serves before an old one leaves.
rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "routerlib.epp.container" -}}
{{- $epp := .Values.router.epp -}}
- name: epp
  image: {{ include "routerlib.image" (dict "root" . "image" $epp.image) }}
  imagePullPolicy: {{ $epp.image.pullPolicy }}
  command: [/controlplane, epp]
  args:
    {{- include "routerlib.epp.args" . | nindent 4 }}
  env:
    {{- include "routerlib.epp.env" . | nindent 4 }}
  ports:
  - {name: grpc, containerPort: {{ include "routerlib.port.extProc" . }}, protocol: TCP}
  - {name: grpc-health, containerPort: {{ include "routerlib.port.health" . }}, protocol: TCP}
  - {name: metrics, containerPort: {{ include "routerlib.port.metrics" . }}, protocol: TCP}
  {{- if and (include "routerlib.proxy.xds" .) (include "routerlib.proxy.service" .) }}
  - {name: grpc-xds, containerPort: {{ include "routerlib.port.xds" . }}, protocol: TCP}
  {{- end }}
  {{- with $epp.extraContainerPorts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  # Alive as soon as it answers; ready when it knows its pool and, where one leads, when it is the one.
  livenessProbe:
    grpc: {port: {{ include "routerlib.port.health" . }}, service: liveness}
    initialDelaySeconds: 5
    periodSeconds: 10
  readinessProbe:
    grpc: {port: {{ include "routerlib.port.health" . }}, service: readiness}
    periodSeconds: 2
  resources:
    {{- toYaml $epp.resources | nindent 4 }}
  securityContext:
    {{- include "routerlib.containerSecurity" (dict "root" . "own" $epp.securityContext) | nindent 4 }}
  volumeMounts:
  - {name: plugins-config-volume, mountPath: /config, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- with $epp.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "routerlib.epp.args" -}}
{{- $epp := .Values.router.epp -}}
{{- $flags := deepCopy $epp.flags -}}
{{- if and (eq (include "routerlib.proxy.type" .) "agentgateway") (not (hasKey $flags "secure-serving")) }}{{ $_ := set $flags "secure-serving" false }}{{ end -}}
{{- if and (eq $epp.pluginsConfigFile "payload-agnostic.yaml") (not (hasKey $flags "allow-experimental-plugins")) }}{{ $_ := set $flags "allow-experimental-plugins" true }}{{ end -}}
{{- if eq .Values.router.inferencePool.create false -}}
- --endpoint-selector
- {{ include "routerlib.selectorText" . | quote }}
- --endpoint-target-ports
- {{ include "routerlib.targetPortsText" . | quote }}
{{- else -}}
- --pool-name
- {{ .Release.Name }}
- --pool-namespace
- {{ .Release.Namespace }}
- --pool-group
- inference.networking.k8s.io
{{- end }}
- --zap-encoder
- json
- --config-file
- /config/{{ $epp.pluginsConfigFile }}
{{- if and (include "routerlib.several" .) (not (include "routerlib.preferred" .)) }}
- --ha-enable-leader-election
{{- end }}
- --grpc-health-port
- {{ include "routerlib.port.health" . | quote }}
{{- range $name := keys $flags | sortAlpha }}
- {{ printf "--%s=%s" $name (include "routerlib.flag" (index $flags $name)) | quote }}
{{- end }}
- --tracing={{ .Values.router.tracing.enabled }}
{{- if not .Values.router.monitoring.prometheus.auth.enabled }}
- --metrics-endpoint-auth=false
{{- end }}
{{- if and (eq .Values.router.inferencePool.create false) (eq .Values.router.modelServers.protocol "grpc") }}
- --endpoint-app-protocol={{ include "routerlib.appProtocol" . }}
{{- end }}
{{- if include "routerlib.proxy.xds" . }}
{{ include "routerlib.epp.proxyArgs" . }}
{{- end }}
{{- end -}}

{{/* A number that came through JSON is a float: 1e+06 is no number of bytes. */}}
{{- define "routerlib.flag" -}}
{{- if kindIs "float64" . }}{{ if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}{{ else if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* What the control plane beside the picker makes of Gateway, route and pool. */}}
{{- define "routerlib.epp.proxyArgs" -}}
{{- $proxy := .Values.router.proxy -}}
{{- if include "routerlib.proxy.service" . -}}
- --proxy-xds-address=:{{ include "routerlib.port.xds" . }}
- --proxy-picker-selector={{ include "routerlib.epp.selector" . | replace ": " "=" }}
{{- if include "routerlib.activeActive" . }}
- --proxy-picker-spread
{{- end }}
{{- if include "routerlib.proxy.secured" . }}
- --proxy-xds-secret={{ include "routerlib.identity" . }}
- --proxy-xds-server-name={{ include "routerlib.identity.server" . }}
{{- else }}
- --proxy-xds-insecure
{{- end }}
{{- else -}}
- --proxy-xds-address=127.0.0.1:{{ include "routerlib.port.xds" . }}
- --proxy-picker=127.0.0.1:{{ include "routerlib.port.extProc" . }}
{{- end }}
- --proxy-view={{ include "routerlib.proxy.view" . }}
- --proxy-listen={{ $proxy.bindAddress | contains ":" | ternary (printf "[%s]" $proxy.bindAddress) $proxy.bindAddress }}:{{ include "routerlib.proxy.port" . }}
- --proxy-fail-open={{ include "routerlib.proxy.failOpen" . }}
{{- end -}}

{{- define "routerlib.epp.env" -}}
- name: NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if .Values.router.tracing.enabled }}
- name: OTEL_RESOURCE_ATTRIBUTES_NODE_NAME
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}
- {name: OTEL_SERVICE_NAME, value: llm-d-router/epp}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .Values.router.tracing.otelExporterEndpoint | quote }}}
- {name: OTEL_TRACES_EXPORTER, value: otlp}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.namespace.name=$(NAMESPACE),k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),k8s.pod.name=$(POD_NAME)"}
- {name: OTEL_TRACES_SAMPLER, value: {{ .Values.router.tracing.sampling.sampler | quote }}}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .Values.router.tracing.sampling.samplerArg | toString | quote }}}
{{- end }}
{{- if .Values.router.latencyPredictor.enabled }}
{{ include "routerlib.predictor.env" . }}
{{- end }}
{{- with include "routerlib.env" .Values.router.epp.env }}
{{ . }}
{{- end }}
{{- end -}}
