{{- define "routerlib.inferencePool" -}}
{{- if ne .Values.router.inferencePool.create false -}}
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- toYaml .Values.router.modelServers.matchLabels | nindent 6 }}
  targetPorts:
    {{- toYaml .Values.router.modelServers.targetPorts | nindent 4 }}
  appProtocol: {{ include "routerlib.appProtocol" . }}
  endpointPickerRef:
    group: ""
    kind: Service
    name: {{ include "routerlib.epp" . }}
    port: {number: {{ .Values.router.epp.extProcPort }}}
    failureMode: {{ .Values.router.inferencePool.failureMode }}
{{- range .Values.router.inferenceObjectives }}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceObjective
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $ | nindent 4 }}
spec:
  {{- if hasKey . "priority" }}
  priority: {{ .priority }}
  {{- end }}
  poolRef: {group: inference.networking.k8s.io, kind: InferencePool, name: {{ $.Release.Name }}}
{{- end }}
{{- end -}}
{{- end -}}
