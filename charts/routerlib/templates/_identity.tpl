{{/* Mutual TLS between proxies of their own Deployment and the control plane in the picker's pods: it goes over the network there,
and stays in the pod otherwise. */}}
{{- define "routerlib.proxy.secured" -}}
{{- if and (include "routerlib.proxy.service" .) (include "routerlib.proxy.xds" .) .Values.router.proxy.xds.tls }}true{{ end -}}
{{- end -}}

{{/* The Secret of the proxies' certificate; that of its CA has -ca after it. */}}
{{- define "routerlib.identity" -}}
{{- printf "%s-xds" (include "routerlib.epp" .) -}}
{{- end -}}

{{/* The name in the certificate of the control plane. It is short of the cluster's domain, which may change. */}}
{{- define "routerlib.identity.server" -}}
{{- printf "%s.%s.svc" (include "routerlib.peers" .) .Release.Namespace -}}
{{- end -}}

{{/* Where a proxy has its own file, and where its certificate. */}}
{{- define "routerlib.envoy.dir" -}}/etc/envoy{{- end -}}
{{- define "routerlib.identity.dir" -}}/var/run/secrets/switchyard{{- end -}}

{{/* Both are made here and filled by the picker's pods, which so need no right to create any; and they go with the release. An
upgrade leaves what is in them, for nothing is said of it here. */}}
{{- define "routerlib.identity.secrets" -}}
{{- if include "routerlib.proxy.secured" . }}
{{- range $suffix := list "" "-ca" }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "routerlib.identity" $ }}{{ $suffix }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "routerlib.epp.labels" $ | nindent 4 }}
type: Opaque
{{- end }}
{{- end }}
{{- end -}}

{{/* What is not there yet is waited for: the kubelet starts no container before all three are. */}}
{{- define "routerlib.identity.volume" -}}
- name: identity
  secret:
    secretName: {{ include "routerlib.identity" . }}
    defaultMode: 0440
    items:
    - {key: tls.crt, path: tls.crt}
    - {key: tls.key, path: tls.key}
    - {key: ca.crt, path: ca.crt}
{{- end -}}

{{- define "routerlib.identity.mount" -}}
- {name: identity, mountPath: {{ include "routerlib.identity.dir" . }}, readOnly: true}
{{- end -}}

{{/* Envoy reads certificates anew only when they come from such files. */}}
{{- define "routerlib.envoy.sds.certificate" -}}
{{- $dir := include "routerlib.identity.dir" . -}}
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: certificate
  tls_certificate:
    certificate_chain: {filename: {{ $dir }}/tls.crt}
    private_key: {filename: {{ $dir }}/tls.key}
    watched_directory: {path: {{ $dir }}}
{{- end -}}

{{- define "routerlib.envoy.sds.ca" -}}
{{- $dir := include "routerlib.identity.dir" . -}}
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: ca
  validation_context:
    trusted_ca: {filename: {{ $dir }}/ca.crt}
    watched_directory: {path: {{ $dir }}}
    match_typed_subject_alt_names:
    - {san_type: DNS, matcher: {exact: {{ include "routerlib.identity.server" . }}}}
{{- end -}}

{{/* Envoy as a client would offer TLS 1.2 at most without being told. */}}
{{- define "routerlib.envoy.tls" -}}
{{- $dir := include "routerlib.envoy.dir" . -}}
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {{ include "routerlib.identity.server" . }}
    common_tls_context:
      tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}
      alpn_protocols: [h2]
      tls_certificate_sds_secret_configs:
      - name: certificate
        sds_config:
          resource_api_version: V3
          path_config_source: {path: {{ $dir }}/sds-certificate.yaml, watched_directory: {path: {{ $dir }}}}
      validation_context_sds_secret_config:
        name: ca
        sds_config:
          resource_api_version: V3
          path_config_source: {path: {{ $dir }}/sds-ca.yaml, watched_directory: {path: {{ $dir }}}}
{{- end -}}
