package metrics

// twin is the old form of a family.
type twin struct {
	name string
	// labels are those it has; nil: those of the family. What the others told apart is added up.
	labels []twinLabel
	// highest takes the highest value of a gauge instead of the sum.
	highest bool
}

// twinLabel is a label and which one of the family it is.
type twinLabel struct{ name, from string }

func same(names ...string) []twinLabel {
	labels := make([]twinLabel, 0, len(names))
	for _, name := range names {
		labels = append(labels, twinLabel{name, name})
	}
	return labels
}

// Prefixes of old names.
const (
	objective = "inference_objective_"
	pool      = "inference_pool_"
	extension = "inference_extension_"
	scheduler = "llm_d_inference_scheduler_"
	kvCache   = "kvcache_"
)

// twins are by the name without its namespace. They cover every family of the picker that has one, also those that other
// packages register.
var twins = func() map[string]twin {
	model := same("model_name", "target_model_name")
	all := map[string]twin{
		"request_total":            {name: objective + "request_total", labels: same("model_name", "target_model_name", "priority")},
		"request_error_total":      {name: objective + "request_error_total", labels: same("model_name", "target_model_name", "error_code")},
		"request_duration_seconds": {name: objective + "request_duration_seconds", labels: model},
		"request_size_bytes":       {name: objective + "request_sizes", labels: model},
		"response_size_bytes":      {name: objective + "response_sizes", labels: model},
		"request_input_tokens":     {name: objective + "input_tokens", labels: model},
		"request_output_tokens":    {name: objective + "output_tokens", labels: model},
		"request_cached_tokens":    {name: objective + "prompt_cached_tokens", labels: model},
		"request_running":          {name: objective + "running_requests", labels: same("model_name")},
		"request_ntpot_seconds":    {name: objective + "normalized_time_per_output_token_seconds", labels: model},

		"average_kv_cache_utilization": {name: pool + "average_kv_cache_utilization"},
		"average_queue_size":           {name: pool + "average_queue_size"},
		"average_running_requests":     {name: pool + "average_running_requests"},
		"ready_endpoints":              {name: pool + "ready_pods"},
		"per_endpoint_queue_size": {name: pool + "per_pod_queue_size",
			labels: append(same("name"), twinLabel{"model_server_pod", "model_server_endpoint"})},

		"scheduler_attempts_total": {name: extension + "scheduler_attempts_total",
			labels: append(same("status", "target_model_name", "namespace", "port"), twinLabel{"pod_name", "endpoint_name"})},
		"flow_control_pool_saturation": {name: extension + "flow_control_pool_saturation", labels: same("inference_pool"), highest: true},
	}
	for _, name := range []string{"scheduler_e2e_duration_seconds", "plugin_duration_seconds", "info", "model_rewrite_decisions_total",
		"flow_control_request_queue_duration_seconds", "flow_control_dispatch_cycle_duration_seconds",
		"flow_control_request_enqueue_duration_seconds", "flow_control_queue_size", "flow_control_queue_bytes"} {
		all[name] = twin{name: extension + name}
	}
	for _, name := range []string{"prefix_indexer_size", "prefix_indexer_hit_ratio", "prefix_indexer_hit_bytes"} {
		all[name] = twin{name: extension + name, labels: []twinLabel{}}
	}
	for _, name := range []string{"datalayer_poll_errors_total", "datalayer_extract_errors_total"} {
		all[name] = twin{name: scheduler + name}
	}
	for _, name := range []string{"disagg_decision_total", "pd_decision_total"} {
		all[name] = twin{name: scheduler + name, labels: same("model_name", "decision_type")}
	}
	for _, name := range []string{"request_predicted_ttft_seconds", "request_ttft_prediction_duration_seconds",
		"request_predicted_tpot_seconds", "request_tpot_prediction_duration_seconds"} {
		all[name] = twin{name: objective + name, labels: model}
	}
	for _, name := range []string{"inference_request_metric", "request_slo_violation_total"} {
		all[name] = twin{name: objective + name, labels: append(same("type"), model...)}
	}
	for _, name := range []string{"admissions_total", "evictions_total", "lookup_requests_total", "lookup_hits_total",
		"max_pod_hit_count_total", "lookup_latency_seconds"} {
		all["kv_cache_index_"+name] = twin{name: kvCache + "index_" + name}
	}
	for _, name := range []string{"dedup_removed_hashes_suppressed_total", "dedup_removed_hashes_forwarded_total"} {
		all["kv_cache_events_"+name] = twin{name: kvCache + "kvevents_" + name}
	}
	return all
}()
