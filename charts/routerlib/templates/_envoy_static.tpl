{{/* A plain configuration: no control plane, model servers and pickers by DNS. It does what the one over xDS does: the same
filters, the lean protocol towards the picker, and a pool that serves without a pick where it may. */}}
{{- define "routerlib.envoy.static" -}}
{{ include "routerlib.envoy.common" . }}
static_resources:
  listeners:
  {{- include "routerlib.envoy.readiness" . | nindent 2 }}
  - name: http
    address: {socket_address: {address: {{ .Values.router.proxy.bindAddress | quote }}, port_value: {{ include "routerlib.proxy.port" . }}{{ include "routerlib.envoy.compat" . }}}}
    # Routes raise it for the bodies that the picker has to see.
    per_connection_buffer_limit_bytes: 32768
    enable_reuse_port: true
    traffic_direction: INBOUND
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          use_remote_address: true
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: KEEP_UNCHANGED
          preserve_external_request_id: true
          always_set_request_id_in_response: true
          server_header_transformation: PASS_THROUGH
          # A model may think for minutes before its first token.
          stream_idle_timeout: 3600s
          request_headers_timeout: 10s
          common_http_protocol_options: {idle_timeout: 3600s}
          http2_protocol_options: {max_concurrent_streams: 1000, initial_stream_window_size: 1048576, initial_connection_window_size: 16777216}
          upgrade_configs: [{upgrade_type: websocket}]
          # Nothing that a client sends chooses where its request goes.
          early_header_mutation_extensions:
          - name: envoy.http.early_header_mutation.header_mutation
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations:
              {{- range list "x-gateway-destination-endpoint" "x-gateway-destination-endpoint-served" "x-gateway-destination-endpoint-subset" "x-gateway-destination-endpoint-scores" "x-prefiller-host-port" "x-encoder-hosts-ports" "x-data-parallel-host-port" "x-kv-cache-source-host-port" "x-llm-d-request-dropped-reason" "x-went-into-resp-headers" "x-switchyard-pool" "x-switchyard-protocol" }}
              - remove: {{ . }}
              {{- end }}
          access_log:
          {{- include "routerlib.envoy.accessLog" . | nindent 10 }}
          http_filters:
          {{- include "routerlib.envoy.filters" . | nindent 10 }}
          route_config:
            name: http
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              {{- include "routerlib.envoy.routes" . | nindent 14 }}
  clusters:
  {{- include "routerlib.envoy.admin" . | nindent 2 }}
  {{- include "routerlib.envoy.picker" . | nindent 2 }}
  {{- include "routerlib.envoy.servers" . | nindent 2 }}
{{- end -}}

{{- define "routerlib.envoy.filters" -}}
- name: envoy.filters.http.ext_proc
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
    grpc_service:
      envoy_grpc: {cluster_name: epp}
      # The picker may ask for an answer: the filter behind this one stays away from it then.
      initial_metadata: [{key: x-switchyard-answer, value: on-request}]
    # It always goes on without a pick: whether a pool then serves is decided by the pool's cluster, so that a picker that dies
    # amid an answer never takes the answer with it.
    failure_mode_allow: true
    status_on_error: {code: ServiceUnavailable}
    message_timeout: 0.5s
    # A picker that holds a request back says so, and for how long.
    max_message_timeout: 3600s
    allow_mode_override: true
    route_cache_action: RETAIN
    processing_mode: {request_header_mode: SKIP, response_header_mode: SKIP, request_trailer_mode: SKIP, response_trailer_mode: SKIP}
    forward_rules:
      disallowed_headers:
        patterns:
        {{- range list "authorization" "proxy-authorization" "cookie" "x-api-key" "api-key" }}
        - {exact: {{ . }}, ignore_case: true}
        {{- end }}
    metadata_options:
      forwarding_namespaces: {untyped: [envoy.lb, envoy.lb.subset_hint], typed: [envoy.ai.token_usage]}
      receiving_namespaces: {untyped: [envoy.lb, switchyard]}
# It counts tokens, but of answers that the picker is shown, who counts them itself.
- name: envoy.filters.http.ai_protocol_manager
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher
    xds_matcher:
      matcher_list:
        matchers:
        - predicate:
            single_predicate:
              input:
                name: envoy.matching.inputs.dynamic_metadata
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput
                  filter: switchyard
                  path: [{key: answer}]
              custom_match:
                name: envoy.matching.matchers.metadata_matcher
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.matching.input_matchers.metadata.v3.Metadata
                  value: {string_match: {exact: shown}}
          on_match:
            action:
              name: skip
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter}
    extension_config:
      name: envoy.filters.http.ai_protocol_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManager
        response_handling: {token_usage: {usage_signal: SYNTHESIZE_TRAILERS}}
- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    suppress_envoy_headers: true
{{- end -}}

{{/* Upgrades, long bodies, bodies that are too long, and the rest, each shown to the picker in its own way. */}}
{{- define "routerlib.envoy.routes" -}}
{{- $most := 67108864 -}}
{{- $seen := 655360 -}}
{{- $long := 917504 -}}
- name: upgrade
  match:
    prefix: /
    headers: [{name: upgrade, string_match: {exact: websocket, ignore_case: true}}]
  {{- include "routerlib.envoy.route" (dict "root" . "body" "NONE") | nindent 2 }}
- name: long
  match:
    prefix: /
    headers:
    - {name: content-length, range_match: {start: {{ $long }}, end: {{ add $most 1 }}}}
    # A model that is rewritten may be named at the end.
    {{- range list "x-llm-d-model-name-rewrite" "x-gateway-model-name-rewrite" }}
    - {name: {{ . }}, present_match: false}
    {{- end }}
  # The first of the body, which is what prefixes are matched by; the rest streams past.
  request_body_buffer_limit: {{ $seen }}
  {{- include "routerlib.envoy.route" (dict "root" . "body" "BUFFERED_PARTIAL") | nindent 2 }}
- name: too-long
  match:
    prefix: /
    headers: [{name: content-length, range_match: {start: {{ add $most 1 }}, end: "9223372036854775807"}}]
  direct_response: {status: 413, body: {inline_string: request body too large}}
- name: all
  match: {prefix: /}
  request_body_buffer_limit: {{ $most }}
  {{- include "routerlib.envoy.route" (dict "root" . "body" "BUFFERED") | nindent 2 }}
{{- end -}}

{{- define "routerlib.envoy.route" -}}
route:
  cluster: servers
  timeout: 0s
  retry_policy:
    retry_on: connect-failure,refused-stream
    num_retries: 2
    host_selection_retry_max_attempts: 3
    retry_host_predicate:
    - name: envoy.retry_host_predicates.previous_hosts
      typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}
typed_per_filter_config:
  envoy.filters.http.ai_protocol_manager:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManagerPerRoute
    response: {}
  envoy.filters.http.ext_proc:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute
    overrides:
      processing_mode:
        request_header_mode: SEND
        request_body_mode: {{ .body }}
        request_trailer_mode: SKIP
        response_header_mode: SKIP
        response_trailer_mode: SEND
      grpc_initial_metadata:
      - {key: x-switchyard-pool, value: {{ include "routerlib.pool" .root }}}
      - {key: x-switchyard-protocol, value: lean}
      - {key: x-switchyard-body, value: {{ lower .body }}}
{{- end -}}

{{/* One that is not healthy is not asked at all: that is what makes failing open quick. */}}
{{- define "routerlib.envoy.picker" -}}
{{- $host := "127.0.0.1" -}}
- name: epp
  {{- if include "routerlib.proxy.service" . }}
  {{- $host = include "routerlib.dns" (dict "root" . "name" (include "routerlib.peers" .)) }}
  {{- include "routerlib.envoy.dns" . | nindent 2 }}
  {{- else }}
  type: STATIC
  {{- end }}
  connect_timeout: 0.25s
  per_connection_buffer_limit_bytes: 1048576
  {{- include "routerlib.envoy.breakers" . | nindent 2 }}
  common_lb_config: {healthy_panic_threshold: {}, update_merge_window: 0s}
  close_connections_on_host_health_failure: true
  ignore_health_on_host_removal: true
  {{- if ne (index .Values.router.epp.flags "health-checking" | toString) "false" }}
  health_checks:
  - timeout: 0.5s
    interval: 1s
    no_traffic_interval: 1s
    unhealthy_threshold: 1
    healthy_threshold: 1
    reuse_connection: true
    grpc_health_check: {service_name: envoy.service.ext_proc.v3.ExternalProcessor}
  {{- end }}
  load_balancing_policy:
    {{- include "routerlib.envoy.leastRequest" . | nindent 4 }}
  {{- if include "routerlib.secure" . }}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      common_tls_context:
        alpn_protocols: [h2]
        # The picker's certificate is one that it made for itself.
        validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}
  {{- end }}
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options: {connection_keepalive: {interval: 10s, timeout: 3s}}
  load_assignment:
    cluster_name: epp
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: {{ $host }}, port_value: {{ include "routerlib.port.extProc" . }}}}}
{{- end -}}

{{/* The pick, if it is a member; else the server with the fewest requests, or nobody where proxies may not serve without a pick. */}}
{{- define "routerlib.envoy.servers" -}}
- name: servers
  {{- include "routerlib.envoy.dns" . | nindent 2 }}
  connect_timeout: 1s
  per_connection_buffer_limit_bytes: 32768
  {{- include "routerlib.envoy.breakers" . | nindent 2 }}
  ignore_health_on_host_removal: true
  outlier_detection:
    interval: 1s
    base_ejection_time: 5s
    max_ejection_time: 30s
    max_ejection_percent: 50
    split_external_local_origin_errors: true
    consecutive_local_origin_failure: 3
    enforcing_consecutive_5xx: 0
    enforcing_success_rate: 0
    enforcing_consecutive_gateway_failure: 0
    enforcing_local_origin_success_rate: 0
  metadata: {filter_metadata: {switchyard: {pool: {{ include "routerlib.pool" . }}}}}
  load_balancing_policy:
    policies:
    - typed_extension_config:
        name: envoy.load_balancing_policies.override_host
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost
          override_host_sources:
          - metadata: {key: envoy.lb, path: [{key: x-gateway-destination-endpoint}]}
          selected_host_key: {key: envoy.lb, path: [{key: x-gateway-destination-endpoint-served}]}
          fallback_policy:
            {{- if eq (include "routerlib.proxy.failOpen" .) "true" }}
            {{- include "routerlib.envoy.leastRequest" . | nindent 12 }}
            {{- else }}
            policies:
            - typed_extension_config:
                name: envoy.load_balancing_policies.subset
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.subset.v3.Subset
                  # A key that no endpoint has.
                  fallback_policy: NO_FALLBACK
                  subset_selectors: [{keys: [picked]}]
                  subset_lb_policy:
                    {{- include "routerlib.envoy.leastRequest" . | nindent 20 }}
            {{- end }}
  {{- if eq .Values.router.modelServers.protocol "grpc" }}
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {http2_protocol_options: {}}
  {{- end }}
  load_assignment:
    cluster_name: servers
    endpoints:
    - lb_endpoints:
      {{- $host := include "routerlib.dns" (dict "root" . "name" (include "routerlib.servers" .)) }}
      {{- range .Values.router.modelServers.targetPorts }}
      - endpoint: {address: {socket_address: {address: {{ $host }}, port_value: {{ .number }}}}}
      {{- end }}
{{- end -}}

{{- define "routerlib.envoy.accessLog" -}}
- name: envoy.access_loggers.stdout
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
    log_format:
      json_format:
        authority: "%REQ(:AUTHORITY)%"
        bytes_in: "%BYTES_RECEIVED%"
        bytes_out: "%BYTES_SENT%"
        client: "%DOWNSTREAM_REMOTE_ADDRESS%"
        details: "%RESPONSE_CODE_DETAILS%"
        duration: "%DURATION%"
        failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
        first_byte: "%RESPONSE_DURATION%"
        flags: "%RESPONSE_FLAGS%"
        method: "%REQ(:METHOD)%"
        path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"
        picked: "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint)%"
        pool: "%METADATA(CLUSTER:switchyard:pool)%"
        protocol: "%PROTOCOL%"
        request_id: "%REQ(X-REQUEST-ID)%"
        route: "%ROUTE_NAME%"
        served: "%DYNAMIC_METADATA(envoy.lb:x-gateway-destination-endpoint-served)%"
        start: "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"
        status: "%RESPONSE_CODE%"
        upstream: "%UPSTREAM_HOST%"
{{- end -}}
