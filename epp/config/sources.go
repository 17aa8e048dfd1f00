package config

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// maxInterval bounds how seldom a source asks.
const maxInterval = time.Hour

// modelsInterval is how often servers are asked for their models unless the file says otherwise.
const modelsInterval = 5 * time.Second

// address is where a source asks endpoints. Zero values leave the choice to the flags.
type address struct {
	Scheme, Path string
	Port         int
	Interval     time.Duration
	TLS          datalayer.TLS
	// warnings tell of parameters that have no effect.
	warnings []string
}

// MetricsSourceType is the type of MetricsSource.
const MetricsSourceType = "metrics-data-source"

// MetricsSource asks each model server for its page of metrics, in the Prometheus text format. A server with traffic is asked
// each interval, one without each second, one that does not answer every few seconds. Pages of up to 4 MiB are read.
type MetricsSource struct{ address }

// NewMetricsSource reads `scheme` (http; or https), `path` (/metrics), `port` (0: that of the endpoint), `interval` (the flag
// --refresh-metrics-interval, of which it is rounded to a multiple; at most 1h), and for https `insecureSkipVerify` (true, unless
// caCertPath is given), `caCertPath` (authorities of the servers' certificates; empty: those of the system), `clientCertPath`
// and `clientKeyPath` (the certificate to show to servers, both or none). The files are followed.
func NewMetricsSource(parameters []byte) (*MetricsSource, error) {
	at, err := readAddress(parameters)
	if err != nil {
		return nil, err
	}
	return &MetricsSource{at}, nil
}

// ModelsSourceType is the type of ModelsSource.
const ModelsSourceType = "models-data-source"

// ModelsSource asks each model server for the models that it serves, in the form of the OpenAI API. Answers of up to 1 MiB are
// read. It needs the extractor models-data-extractor.
type ModelsSource struct{ address }

// NewModelsSource reads `scheme` (http; or https), `path` (/v1/models), `port` (0: that of the endpoint), `interval` (5s; at most
// 1h), and for https `insecureSkipVerify` (true, unless caCertPath is given), `caCertPath`, `clientCertPath` and `clientKeyPath`.
func NewModelsSource(parameters []byte) (*ModelsSource, error) {
	at, err := readAddress(parameters)
	if err != nil {
		return nil, err
	}
	if at.Interval == 0 {
		at.Interval = modelsInterval
	}
	return &ModelsSource{at}, nil
}

// readAddress reads the parameters that sources share.
func readAddress(parameters []byte) (address, error) {
	given := struct {
		Scheme             string          `json:"scheme"`
		Path               string          `json:"path"`
		Port               int             `json:"port"`
		InsecureSkipVerify *bool           `json:"insecureSkipVerify"`
		CACertPath         string          `json:"caCertPath"`
		ClientCertPath     string          `json:"clientCertPath"`
		ClientKeyPath      string          `json:"clientKeyPath"`
		Interval           metav1.Duration `json:"interval"`
	}{}
	at := address{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return at, err
	}
	every := given.Interval.Duration
	switch {
	case given.Scheme != "" && given.Scheme != "http" && given.Scheme != "https":
		return at, fmt.Errorf("parameters: scheme: %q must be http or https", given.Scheme)
	case given.Port < 0 || given.Port > 65535:
		return at, fmt.Errorf("parameters: port: %d is not a port", given.Port)
	case given.Path != "" && !strings.HasPrefix(given.Path, "/"):
		return at, fmt.Errorf("parameters: path: %q must begin with /", given.Path)
	case every < 0 || every > maxInterval:
		return at, fmt.Errorf("parameters: interval: %s is not between 0 and %s", every, maxInterval)
	case (given.ClientCertPath == "") != (given.ClientKeyPath == ""):
		return at, fmt.Errorf("parameters: clientCertPath, clientKeyPath: give both or none")
	}
	at.Scheme, at.Path, at.Port, at.Interval = given.Scheme, given.Path, given.Port, every
	files := datalayer.TLS{CA: given.CACertPath, Cert: given.ClientCertPath, Key: given.ClientKeyPath}
	if files != (datalayer.TLS{}) && given.Scheme != "https" {
		at.warnings = append(at.warnings, "certificates have no effect without scheme https")
		return at, nil
	}
	files.Verify = files.CA != ""
	if given.InsecureSkipVerify != nil {
		files.Verify = !*given.InsecureSkipVerify
	}
	if files.CA != "" && !files.Verify {
		at.warnings = append(at.warnings, "caCertPath has no effect with insecureSkipVerify: no certificate is checked")
		files.CA = ""
	}
	if given.Scheme == "https" {
		at.TLS = files
	}
	return at, nil
}

// ModelsExtractorType is the type of ModelsExtractor.
const ModelsExtractorType = "models-data-extractor"

// ModelsExtractor keeps, with each endpoint, the models that it told a models-data-source, LoRA adapters among them.
type ModelsExtractor struct{}

// NewModelsExtractor takes no parameters.
func NewModelsExtractor(parameters []byte) (*ModelsExtractor, error) {
	return &ModelsExtractor{}, scheduling.DecodeParameters(parameters, &struct{}{})
}
