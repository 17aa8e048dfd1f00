{{/* What the picker may do, and nothing more. */}}
{{- define "routerlib.role" -}}
{{- $root := .root -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $root | nindent 4 }}
rules:
{{ .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
{{- if .subjects }}
{{ .subjects }}
{{- else }}
- {kind: ServiceAccount, name: {{ include "routerlib.epp" $root }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end -}}

{{- define "routerlib.clusterRole" -}}
{{- $root := .root -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels:
    {{- include "routerlib.epp.labels" $root | nindent 4 }}
rules:
{{ .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "routerlib.epp.labels" $root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .name }}}
subjects:
- {kind: ServiceAccount, name: {{ .account }}, namespace: {{ $root.Release.Namespace }}}
{{- end -}}

{{- define "routerlib.rbac" -}}
{{- $epp := include "routerlib.epp" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $epp }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" . | nindent 4 }}
{{ include "routerlib.role" (dict "root" . "name" (printf "%s-sa" $epp) "rules" "- {apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}") }}
{{- if ne .Values.router.inferencePool.create false }}
{{ include "routerlib.role" (dict "root" . "name" (printf "%s-non-sa" $epp) "rules" (include "routerlib.rules.pool" .)) }}
{{- end }}
{{- if include "routerlib.leads" . }}
{{ include "routerlib.role" (dict "root" . "name" (printf "%s-leader-election" $epp) "rules" (include "routerlib.rules.lease" .)) }}
{{ include "routerlib.lease" (dict "root" . "name" (printf "epp-%s.llm-d.ai" (include "routerlib.pool" . | replace "/" "-")) "labels" (include "routerlib.epp.labels" .)) }}
{{- end }}
{{- if include "routerlib.proxy.secured" . }}
{{ include "routerlib.role" (dict "root" . "name" (include "routerlib.identity" .) "rules" (include "routerlib.rules.identity" .)) }}
{{- end }}
{{- if and (include "routerlib.metricsAuth" .) .Values.router.rbac.clusterScope }}
{{ include "routerlib.clusterRole" (dict "root" . "name" (printf "%s-metrics-auth" (include "routerlib.clusterName" .)) "account" $epp "rules" (include "routerlib.rules.review" .)) }}
{{- end }}
{{- end -}}

{{- define "routerlib.rules.pool" -}}
- {apiGroups: [inference.networking.k8s.io], resources: [inferencepools], verbs: [get, list, watch]}
- {apiGroups: [llm-d.ai, inference.networking.x-k8s.io], resources: [inferenceobjectives, inferencemodelrewrites], verbs: [get, list, watch]}
- {apiGroups: [llm-d.ai, inference.networking.x-k8s.io], resources: [inferenceobjectives/status, inferencemodelrewrites/status], verbs: [update, patch]}
{{- end -}}

{{/* The replicas make their Lease themselves, so that helm knows nothing of it: after an uninstall this one takes its place, and is
removed at once. */}}
{{- define "routerlib.lease" -}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- .labels | nindent 4 }}
  annotations:
    helm.sh/hook: post-delete
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec: {}
{{- end -}}

{{- define "routerlib.rules.lease" -}}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch, create, update, patch, delete]}
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch]}
{{- end -}}

{{/* To fill and renew two Secrets that are there. */}}
{{- define "routerlib.rules.identity" -}}
{{- $secret := include "routerlib.identity" . -}}
- {apiGroups: [""], resources: [secrets], resourceNames: [{{ $secret }}, {{ $secret }}-ca], verbs: [get, update]}
{{- end -}}

{{/* To ask who shows a token, and whether he may read. */}}
{{- define "routerlib.rules.review" -}}
- {apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}
- {apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}
{{- end -}}
