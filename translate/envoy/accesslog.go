package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// failOpenExpression is true when the request went to a pool without a pick.
const failOpenExpression = `'` + ownNamespace + `' in xds.cluster_metadata.filter_metadata && ` +
	`!('` + lbNamespace + `' in metadata.filter_metadata && '` + pickKey + `' in metadata.filter_metadata['` + lbNamespace + `'])`

// accessLogFields are the members of one log line, one JSON object per request, on standard output.
// Durations are milliseconds, sizes bytes. picked is what the endpoint picker chose, served what answered;
// fail_open is true when a pool's request went out without a pick.
var accessLogFields = map[string]string{
	"start":        "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
	"request_id":   "%REQ(X-REQUEST-ID)%",
	"method":       "%REQ(:METHOD)%",
	"authority":    "%REQ(:AUTHORITY)%",
	"path":         "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	"protocol":     "%PROTOCOL%",
	"status":       "%RESPONSE_CODE%",
	"details":      "%RESPONSE_CODE_DETAILS%",
	"flags":        "%RESPONSE_FLAGS%",
	"bytes_in":     "%BYTES_RECEIVED%",
	"bytes_out":    "%BYTES_SENT%",
	"duration":     "%DURATION%",
	"first_byte":   "%RESPONSE_DURATION%",
	"client":       "%DOWNSTREAM_REMOTE_ADDRESS%",
	"route":        "%ROUTE_NAME%",
	"cluster":      "%UPSTREAM_CLUSTER_RAW%",
	"upstream":     "%UPSTREAM_HOST%",
	"failure":      "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"pool":         "%METADATA(CLUSTER:" + ownNamespace + ":pool)%",
	"picked":       "%DYNAMIC_METADATA(" + lbNamespace + ":" + pickKey + ")%",
	"served":       "%DYNAMIC_METADATA(" + lbNamespace + ":" + servedKey + ")%",
	"fail_open":    "%CEL(" + failOpenExpression + ")%",
	"pick_latency": "%FILTER_STATE(" + extProcFilter + ":FIELD:request_body_total_latency_us)%",
}

func (b *builder) accessLog() []*accesslogv3.AccessLog {
	fields := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, format := range accessLogFields {
		fields.Fields[name] = structpb.NewStringValue(format)
	}
	return []*accesslogv3.AccessLog{{
		Name: "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: b.pack(&streamlogv3.StdoutAccessLog{
			AccessLogFormat: &streamlogv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields},
			}},
		})},
	}}
}
