package command

import "testing"

// TestTheFlagsOfOtherPickers are all there, with their defaults; where ours differ on purpose, it says so.
func TestTheFlagsOfOtherPickers(t *testing.T) {
	set := New(Options{}).Flags()
	for name, want := range map[string]string{
		"grpc-port": "9002", "grpc-health-port": "9003", "metrics-port": "9090", "ha-enable-leader-election": "false", "drain-timeout": "30s",
		"grpc-max-recv-msg-size": "", "grpc-max-send-msg-size": "", "enable-grpc-stream-metrics": "false",
		"pool-group": "inference.networking.k8s.io", "pool-namespace": "", "pool-name": "", "endpoint-selector": "", "endpoint-target-ports": "[]",
		"disable-endpoint-subset-filter": "false", "emit-endpoint-scores": "false",
		"refresh-metrics-interval": "50ms", "refresh-prometheus-metrics-interval": "5s", "metrics-staleness-threshold": "2s",
		"v": "2", "zap-encoder": "console", "zap-log-level": "", "zap-devel": "false", "zap-stacktrace-level": "", "zap-time-encoding": "",
		"tracing": "true", "enable-pprof": "true",
		"health-checking":    "true", // false elsewhere: proxies find health where they find ext_proc
		"enable-cert-reload": "true", // false elsewhere: a certificate that is renewed is to be used
		"cert-path":          "", "secure-serving": "true", "tls-min-version": "", "tls-cipher-suites": "[]",
		"metrics-endpoint-auth": "true", "metrics-cert-dir": "", "metrics-client-ca-file": "",
		"config-file": "", "config-text": "", "allow-experimental-plugins": "false",
	} {
		flag := set.Lookup(name)
		switch {
		case flag == nil:
			t.Errorf("--%s is not there", name)
		case flag.DefValue != want:
			t.Errorf("--%s is %q by default, want %q", name, flag.DefValue, want)
		case flag.Hidden:
			t.Errorf("--%s is hidden", name)
		}
	}
	for _, name := range metricNameFlags {
		if flag := set.Lookup(name); flag == nil || !flag.Hidden {
			t.Errorf("--%s is not there, or shown", name)
		}
	}
}
