{{/* The picker's Services. */}}
{{- define "routerlib.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
    {{- include "routerlib.epp.selector" . | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    {{- include "routerlib.epp.selector" . | nindent 4 }}
  ports:
  - name: grpc-ext-proc
    port: {{ .Values.router.epp.extProcPort }}
    targetPort: grpc
    protocol: TCP
    appProtocol: {{ include "routerlib.extProcProtocol" . }}
  - {name: http-metrics, port: {{ .Values.router.metricsPort | default 9090 }}, targetPort: metrics, protocol: TCP}
  {{- if not (include "routerlib.proxy.service" .) }}
  {{- include "routerlib.extraPorts" . | nindent 2 }}
  {{- end }}
{{- if include "routerlib.proxy.service" . }}
---
# Proxies ask every replica itself whether it answers: where one leads, the others are not ready, and are needed all the same
# as soon as it is gone.
apiVersion: v1
kind: Service
metadata:
  name: {{ include "routerlib.peers" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "routerlib.epp.selector" . | nindent 4 }}
  ports:
  - {name: grpc-ext-proc, port: {{ include "routerlib.port.extProc" . }}, targetPort: grpc, protocol: TCP, appProtocol: grpc}
  {{- if include "routerlib.proxy.xds" . }}
  - {name: grpc-xds, port: {{ include "routerlib.port.xds" . }}, targetPort: grpc-xds, protocol: TCP, appProtocol: grpc}
  {{- end }}
{{- end }}
{{- if eq (include "routerlib.proxy.type" .) "envoy" }}
---
# The model servers, for proxies that know them by DNS: those of router.proxy.config=static, also while they make room for others.
apiVersion: v1
kind: Service
metadata:
  name: {{ include "routerlib.servers" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- toYaml .Values.router.modelServers.matchLabels | nindent 4 }}
  ports:
  {{- range .Values.router.modelServers.targetPorts }}
  - {name: http-{{ .number }}, port: {{ .number }}, targetPort: {{ .number }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- end -}}

{{/* h2c says that there is no TLS, which our control plane takes at its word; Istio and GKE take it for HTTP/2. */}}
{{- define "routerlib.extProcProtocol" -}}
{{- $others := and (hasKey .Values "provider") (ne .Values.provider.name "none") -}}
{{- ternary "kubernetes.io/h2c" "grpc" (or $others (not (include "routerlib.secure" .))) -}}
{{- end -}}

{{/* The one called http leads to the proxies, and nowhere where there are none. */}}
{{- define "routerlib.extraPorts" -}}
{{- $out := list -}}
{{- range .Values.router.extraServicePorts -}}
{{- $port := deepCopy . -}}
{{- $http := and (include "routerlib.isStandalone" $) (eq (toString .name) "http") -}}
{{- if $http }}{{ $_ := set $port "targetPort" (include "routerlib.proxy.port" $ | int) }}{{ end -}}
{{- if or (not $http) $.Values.router.proxy.enabled }}{{ $out = append $out $port }}{{ end -}}
{{- end -}}
{{- with $out }}{{ toYaml . }}{{ end -}}
{{- end -}}
