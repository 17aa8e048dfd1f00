{{/* Which of the two things are installed. */}}
{{- define "router.withPool" -}}
{{- if .Values.router.modelServers.matchLabels }}true{{ end -}}
{{- end -}}

{{- define "router.withControlPlane" -}}
{{- if kindIs "bool" .Values.controlPlane.enabled }}{{ if .Values.controlPlane.enabled }}true{{ end }}{{ else if eq .Values.provider.name "none" }}true{{ end -}}
{{- end -}}

{{- define "router.validate" -}}
{{- include "routerlib.validate.legacy" . -}}
{{- include "routerlib.validate.known" . -}}
{{- $asked := list -}}
{{- if .Values.httpRoute.create }}{{ $asked = append $asked "httpRoute.create" }}{{ end -}}
{{- if ne .Values.provider.name "none" }}{{ $asked = append $asked "provider.name" }}{{ end -}}
{{- if .Values.router.inferenceObjectives }}{{ $asked = append $asked "router.inferenceObjectives" }}{{ end -}}
{{- if eq .Values.router.inferencePool.create false }}{{ $asked = append $asked "router.inferencePool.create" }}{{ end -}}
{{- if .Values.router.proxy.enabled }}{{ $asked = append $asked "router.proxy.enabled" }}{{ end -}}
{{- if and (hasKey .Values.router.proxy "mode") (not $asked) }}{{ $asked = append $asked "router.proxy.mode" }}{{ end -}}
{{- if not (include "router.withControlPlane" .) }}{{ $asked = append $asked "controlPlane.enabled=false" }}{{ end -}}
{{- if or (include "router.withPool" .) $asked }}{{ include "routerlib.validate" . }}{{ end -}}
{{- if not (has .Values.provider.name (list "none" "istio" "gke")) }}{{ fail (printf "provider.name is %q: use none, istio or gke" .Values.provider.name) }}{{ end -}}
{{- if and (eq .Values.provider.name "gke") .Values.provider.gke.preferredBackends.enabled -}}
{{- $p := .Values.provider.gke.preferredBackends -}}
{{- if or (lt (int $p.preferredReplicas) 1) (lt (int $p.defaultReplicas) 1) }}{{ fail (printf "provider.gke.preferredBackends has %v preferred and %v default replicas: give at least 1 of each, or turn it off" $p.preferredReplicas $p.defaultReplicas) }}{{ end -}}
{{- if .Values.router.epp.autoscaling.enabled }}{{ fail "router.epp.autoscaling is not for provider.gke.preferredBackends, whose replicas are counted by preferredReplicas and defaultReplicas: turn one of them off" }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "router.httpRoute" -}}
{{- $route := .Values.httpRoute -}}
{{- if $route.create -}}
{{- $headers := list -}}
{{- with $route.baseModel }}{{ $headers = append $headers (dict "type" "Exact" "name" "X-Gateway-Base-Model-Name" "value" .) }}{{ end -}}
{{- if kindIs "map" $route.headerMatches -}}
{{- range $name := keys $route.headerMatches | sortAlpha }}{{ $headers = append $headers (dict "type" "Exact" "name" $name "value" (index $route.headerMatches $name | toString)) }}{{ end -}}
{{- else -}}
{{- $headers = concat $headers $route.headerMatches -}}
{{- end -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  parentRefs:
  - group: gateway.networking.k8s.io
    kind: Gateway
    name: {{ $route.inferenceGatewayName }}
    {{- with $route.inferenceGatewayNamespace }}
    namespace: {{ . }}
    {{- end }}
  rules:
  - matches:
    - path: {type: PathPrefix, value: /}
      {{- with $headers }}
      headers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: {{ .Release.Name }}}
    {{- if ne .Values.provider.name "gke" }}
    timeouts: {request: {{ $route.requestTimeout }}}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "router.istio" -}}
{{- if eq .Values.provider.name "istio" -}}
{{- $rule := .Values.provider.istio.destinationRule -}}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  host: {{ $rule.host | default (include "routerlib.dns" (dict "root" . "name" (include "routerlib.epp" .))) }}
  trafficPolicy:
    {{- if include "routerlib.secure" . }}
    # The picker's certificate is one that it made for itself.
    tls: {mode: SIMPLE, insecureSkipVerify: true}
    {{- else }}
    tls: {mode: DISABLE}
    {{- end }}
    {{- with $rule.trafficPolicy.connectionPool }}
    connectionPool:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "router.gke" -}}
{{- if eq .Values.provider.name "gke" }}
---
apiVersion: networking.gke.io/v1
kind: HealthCheckPolicy
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  targetRef: {group: inference.networking.k8s.io, kind: InferencePool, name: {{ .Release.Name }}}
  default:
    timeoutSec: 2
    checkIntervalSec: 2
    config:
      type: HTTP
      httpHealthCheck: {requestPath: /health, port: {{ (first .Values.router.modelServers.targetPorts).number }}}
---
apiVersion: networking.gke.io/v1
kind: GCPBackendPolicy
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  targetRef: {group: inference.networking.k8s.io, kind: InferencePool, name: {{ .Release.Name }}}
  default:
    # Answers of models take long.
    timeoutSec: 300
    logging: {enabled: true}
{{- if include "routerlib.preferred" . }}
{{- $p := .Values.provider.gke.preferredBackends }}
{{- range $i := until (add (int $p.preferredReplicas) (int $p.defaultReplicas) | int) }}
{{- $name := printf "%s-%d" (include "routerlib.epp" $) $i }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $ | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    statefulset.kubernetes.io/pod-name: {{ $name }}
  ports:
  - {name: grpc-ext-proc, port: {{ $.Values.router.epp.extProcPort }}, targetPort: grpc, protocol: TCP, appProtocol: kubernetes.io/h2c}
---
apiVersion: networking.gke.io/v1
kind: GCPBackendPolicy
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $ | nindent 4 }}
spec:
  targetRef: {group: "", kind: Service, name: {{ $name }}}
  default:
    backendPreference: {{ ternary "PREFERRED" "DEFAULT" (lt $i (int $p.preferredReplicas)) }}
    balancingMode: {{ $p.balancingMode }}
    maxRatePerEndpoint: {{ $p.maxRatePerEndpoint }}
    capacityScalerPercent: {{ $p.capacityScalerPercent }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
