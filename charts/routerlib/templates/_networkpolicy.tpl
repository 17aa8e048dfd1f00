{{/* Who may connect to the release's pods. The kubelet's probes are always let through. */}}
{{- define "routerlib.networkPolicies" -}}
{{- $np := .Values.router.networkPolicy -}}
{{- if $np.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "routerlib.epp.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
  {{- if or (not (include "routerlib.isStandalone" .)) $np.pickerClients (include "routerlib.proxy.service" .) }}
  - ports:
    - {protocol: TCP, port: grpc}
    {{- if and (include "routerlib.proxy.xds" .) (include "routerlib.proxy.service" .) }}
    - {protocol: TCP, port: grpc-xds}
    {{- end }}
    {{- if or $np.pickerClients (include "routerlib.proxy.service" .) }}
    from:
    {{- if include "routerlib.proxy.service" . }}
    - podSelector:
        matchLabels:
          {{- include "routerlib.proxy.selector" . | nindent 10 }}
    {{- end }}
    {{- with $np.pickerClients }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- include "routerlib.networkPolicy.peers" (dict "port" "metrics" "peers" $np.monitoring) | nindent 2 }}
  {{- if include "routerlib.proxy.sidecar" . }}
  {{- include "routerlib.networkPolicy.proxy" . | nindent 2 }}
  {{- end }}
{{- if include "routerlib.proxy.service" . }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "routerlib.proxy.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
  {{- include "routerlib.networkPolicy.proxy" . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "routerlib.networkPolicy.proxy" -}}
{{ include "routerlib.networkPolicy.peers" (dict "port" (include "routerlib.proxy.port" . | int) "peers" .Values.router.networkPolicy.clients) }}
{{ include "routerlib.networkPolicy.peers" (dict "port" (include "routerlib.proxy.metricsPort" . | int) "peers" .Values.router.networkPolicy.monitoring) }}
{{- end -}}

{{- define "routerlib.networkPolicy.peers" -}}
- ports:
  - {protocol: TCP, port: {{ .port }}}
  {{- with .peers }}
  from:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "routerlib.proxy.metricsPort" -}}
{{- ternary 19001 15020 (eq (include "routerlib.proxy.type" .) "envoy") -}}
{{- end -}}
