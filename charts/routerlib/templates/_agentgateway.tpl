{{/* agentgateway's configuration: one logical backend, whose endpoint it asks the picker for. */}}
{{- define "routerlib.agentgateway" -}}
{{- $m := .Values.router.modelServers -}}
{{- $backend := $m.matchLabels.app | default .Release.Name -}}
{{- $port := (first $m.targetPorts).number -}}
{{- $picker := "127.0.0.1" -}}
{{- if include "routerlib.proxy.service" . }}{{ $picker = include "routerlib.dns" (dict "root" . "name" (include "routerlib.epp" .)) }}{{ end -}}
{{- $pickerPort := ternary .Values.router.epp.extProcPort (include "routerlib.port.extProc" . | int) (eq (include "routerlib.proxy.service" .) "true") -}}
config:
  statsAddr: 0.0.0.0:15020
  readinessAddr: 0.0.0.0:15021
binds:
- port: {{ include "routerlib.proxy.port" . }}
  listeners:
  - routes:
    - matches:
      - path: {pathPrefix: /}
      backends:
      - service:
          name: {namespace: {{ .Release.Namespace }}, hostname: {{ $backend }}}
          port: {{ $port }}
        policies:
          inferenceRouting:
            endpointPicker:
              host: {{ $picker }}:{{ $pickerPort }}
            destinationMode: passthrough
services:
- name: {{ $backend }}
  namespace: {{ .Release.Namespace }}
  hostname: {{ $backend }}
  vips: []
  ports:
    {{- range $m.targetPorts }}
    {{ .number }}: {{ .number }}
    {{- end }}
{{- end -}}
