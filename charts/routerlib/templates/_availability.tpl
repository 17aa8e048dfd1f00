{{/* Budgets and autoscalers. */}}
{{- define "routerlib.budgets" -}}
{{- $epp := .Values.router.epp -}}
{{- if and (include "routerlib.activeActive" .) $epp.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "routerlib.epp" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $epp.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "routerlib.epp.selector" . | nindent 6 }}
{{- end }}
{{- if include "routerlib.proxy.service" . }}
{{- $proxy := include "routerlib.proxy.settings" . | fromYaml }}
{{- if $proxy.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "routerlib.proxy" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.proxy.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $proxy.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "routerlib.proxy.selector" . | nindent 6 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "routerlib.autoscalers" -}}
{{- with .Values.router.epp.autoscaling }}
{{- if .enabled }}
{{ include "routerlib.autoscaler" (dict "root" $ "settings" . "name" (include "routerlib.epp" $) "labels" (include "routerlib.epp.labels" $) "container" "epp") }}
{{- end }}
{{- end }}
{{- if include "routerlib.proxy.service" . }}
{{- $proxy := include "routerlib.proxy.settings" . | fromYaml }}
{{- if $proxy.autoscaling.enabled }}
{{ include "routerlib.autoscaler" (dict "root" . "settings" $proxy.autoscaling "name" (include "routerlib.proxy" .) "labels" (include "routerlib.proxy.labels" .) "container" $proxy.name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* By the CPU of the container that does the work: one that idles beside it would make every pod look less busy. */}}
{{- define "routerlib.autoscaler" -}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ .settings.minReplicas }}
  maxReplicas: {{ .settings.maxReplicas }}
  metrics:
  - type: ContainerResource
    containerResource:
      name: cpu
      container: {{ .container }}
      target: {type: Utilization, averageUtilization: {{ .settings.targetCPUUtilizationPercentage }}}
{{- end -}}
