package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
)

// bootstrap tells Envoy where its control plane is, as that of a fleet's proxies does; all else comes over xDS.
const bootstrap = `{
 "node": {"id": "proxy", "cluster": "` + viewKey + `"},
 "dynamic_resources": {
  "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
   "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
  "cds_config": {"ads": {}, "resource_api_version": "V3"},
  "lds_config": {"ads": {}, "resource_api_version": "V3"}},
 "static_resources": {"clusters": [{
  "name": "xds", "type": "STATIC", "connect_timeout": "1s",
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
   "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
   "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
   {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": %d}}}}]}]}}]}
}`

// toolsEnvoy is where `make tools` puts Envoy.
const toolsEnvoy = ".tools/envoy"

// findEnvoy gives the Envoy named, or that of make tools, or that of the path.
func findEnvoy(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if _, err := os.Stat(toolsEnvoy); err == nil {
		return toolsEnvoy, nil
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		return "", fmt.Errorf("no Envoy in %s nor in the path; run make tools, or name one with -envoy", toolsEnvoy)
	}
	return path, nil
}

// startProxy runs an Envoy that the picker configures.
func startProxy(envoy, dir string, xds int) (*process, error) {
	config := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, xds), 0o600); err != nil {
		return nil, err
	}
	return start(envoy, "--config-path", config, "--concurrency", strconv.Itoa(runtime.NumCPU()), "--disable-hot-restart",
		"--log-level", "error", "--file-flush-interval-msec", "500")
}
