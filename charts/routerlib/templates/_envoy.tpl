{{/* Envoy's files. What both have: who it is, the admin interface on loopback, and the port of readiness and statistics. */}}
{{- define "routerlib.envoy.common" -}}
node: {cluster: {{ include "routerlib.proxy.view" . }}}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 19000}}
layered_runtime:
  layers:
  - name: limits
    static_layer: {re2.max_program_size.error_level: 1000, re2.max_program_size.warn_level: 1000}
{{- end -}}

{{/* Answers once the whole configuration is there, and says no as soon as the proxy is told to drain. Of the admin interface it
shows the statistics alone. */}}
{{- define "routerlib.envoy.readiness" -}}
- name: readiness
  address: {socket_address: {address: {{ .Values.router.proxy.bindAddress | quote }}, port_value: 19001{{ include "routerlib.envoy.compat" . }}}}
  # It answers while the others drain.
  drain_type: MODIFY_ONLY
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: readiness
        route_config:
          name: readiness
          virtual_hosts:
          - name: statistics
            domains: ["*"]
            routes:
            - match:
                path: /stats/prometheus
                headers: [{name: ":method", string_match: {exact: GET}}]
              route: {cluster: admin}
        http_filters:
        - name: envoy.filters.http.health_check
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
            pass_through_mode: false
            headers: [{name: ":path", string_match: {exact: /ready}}]
        - name: envoy.filters.http.router
          typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
{{- end -}}

{{- define "routerlib.envoy.compat" -}}
{{- if eq .Values.router.proxy.bindAddress "::" }}, ipv4_compat: true{{ end -}}
{{- end -}}

{{- define "routerlib.envoy.admin" -}}
- name: admin
  type: STATIC
  connect_timeout: 1s
  load_assignment:
    cluster_name: admin
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 19000}}}
{{- end -}}

{{/* All addresses of a name are members of the cluster. The name is whole: search domains would cost three questions more. */}}
{{- define "routerlib.envoy.dns" -}}
cluster_type:
  name: envoy.cluster.dns
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
    dns_refresh_rate: 1s
    dns_failure_refresh_rate: {base_interval: 0.5s, max_interval: 2s}
    respect_dns_ttl: false
    dns_lookup_family: V4_PREFERRED
    typed_dns_resolver_config:
      name: envoy.network.dns_resolver.cares
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
        dns_resolver_options: {no_default_search_domain: true}
{{- end -}}

{{- define "routerlib.envoy.breakers" -}}
circuit_breakers:
  thresholds:
  - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100000}
{{- end -}}

{{- define "routerlib.envoy.leastRequest" -}}
policies:
- typed_extension_config:
    name: envoy.load_balancing_policies.least_request
    typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest}
{{- end -}}

{{/* The file of a proxy that gets everything else from the control plane beside the picker. */}}
{{- define "routerlib.envoy.bootstrap" -}}
{{ include "routerlib.envoy.common" . }}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: xds
        retry_policy: {retry_back_off: {base_interval: 0.2s, max_interval: 3s}}
  # It waits for the control plane rather than serve nothing.
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  listeners:
  {{- include "routerlib.envoy.readiness" . | nindent 2 }}
  clusters:
  {{- include "routerlib.envoy.admin" . | nindent 2 }}
  - name: xds
    {{- $host := "127.0.0.1" }}
    {{- if include "routerlib.proxy.service" . }}
    {{- $host = include "routerlib.dns" (dict "root" . "name" (include "routerlib.peers" .)) }}
    {{- include "routerlib.envoy.dns" . | nindent 4 }}
    {{- else }}
    type: STATIC
    {{- end }}
    {{- if include "routerlib.proxy.secured" . }}
    {{- include "routerlib.envoy.tls" . | nindent 4 }}
    # Two round trips more, and signatures on a busy machine.
    connect_timeout: 5s
    {{- else }}
    connect_timeout: 1s
    {{- end }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: {connection_keepalive: {interval: 20s, timeout: 10s}}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: {{ $host }}, port_value: {{ include "routerlib.port.xds" . }}}}}
{{- end -}}
