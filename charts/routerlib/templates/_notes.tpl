{{/* What both charts tell after an installation. */}}
{{- define "routerlib.notes" -}}
{{- if .Values.router.monitoring.dashboards.enabled }}
The dashboard is in the ConfigMap {{ include "routerlib.epp" . }}-dashboards, where Grafana's sidecar finds it by its labels.
{{- else }}
A dashboard for Grafana: router.monitoring.dashboards.enabled=true makes a ConfigMap that its sidecar finds.
{{- end }}
{{- if not .Values.router.monitoring.prometheus.enabled }}
Metrics are at service/{{ include "routerlib.epp" . }} {{ .Values.router.metricsPort }}{{ if include "routerlib.metricsAuth" . }}, for those who show a bearer token that may get /metrics{{ end }}; router.monitoring.prometheus.enabled=true tells Prometheus so.
{{- end }}
{{- if and (include "routerlib.activeActive" .) (eq .Values.router.epp.pluginsConfigFile "default-plugins.yaml") }}

All replicas of the picker answer, and do not know what the others did: the default configuration is without prefix-cache-scorer then.
{{- end }}
{{- end -}}
