package config

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// Metrics is where and how often model servers are asked for their metrics, and what those are called. Zero values leave
// the choice to the flags.
type Metrics struct {
	Scheme   string
	Path     string
	Port     int
	Interval time.Duration
	// CheckCertificates has https verify the servers' certificates.
	CheckCertificates bool

	Engines       []datalayer.Engine
	EngineLabel   string
	DefaultEngine string
}

// Apply writes what the file says into the options of the data layer, over what stands there.
func (c *Config) Apply(options *datalayer.Options) {
	options.BlocksPerServer = c.Prefix.BlocksPerServer
	if c.Prefix.AutoTune {
		options.BlockTokens = c.Prefix.BlockTokens
	}
	m := c.Metrics
	if m.Scheme != "" {
		options.Scheme = m.Scheme
	}
	if m.Path != "" {
		options.Path = m.Path
	}
	if m.Port != 0 {
		options.Port = m.Port
	}
	if m.Interval != 0 {
		options.Interval = m.Interval
	}
	if m.Scheme == "https" && m.CheckCertificates && options.Client == nil {
		options.Client = newCheckingClient()
	}
	if len(m.Engines) > 0 {
		options.Engines = append(options.Engines, m.Engines...)
	}
	if m.EngineLabel != "" {
		options.EngineLabel = m.EngineLabel
	}
	if m.DefaultEngine != "" {
		options.DefaultEngine = m.DefaultEngine
	}
}

// newCheckingClient makes a client as the data layer's own, but for certificates that the system trusts.
func newCheckingClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: time.Second,
			DisableCompression:  true,
		},
	}
}

// readSource reads the parameters of a metrics source into m.
func (m *Metrics) readSource(parameters []byte) error {
	given := struct {
		Scheme             string          `json:"scheme"`
		Path               string          `json:"path"`
		Port               int             `json:"port"`
		InsecureSkipVerify bool            `json:"insecureSkipVerify"`
		CACertPath         string          `json:"caCertPath"`
		ClientCertPath     string          `json:"clientCertPath"`
		ClientKeyPath      string          `json:"clientKeyPath"`
		Interval           metav1.Duration `json:"interval"`
	}{InsecureSkipVerify: true}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return err
	}
	if given.Scheme != "" && given.Scheme != "http" && given.Scheme != "https" {
		return fmt.Errorf("parameters: scheme: %q must be http or https", given.Scheme)
	}
	if given.Port < 0 || given.Port > 65535 {
		return fmt.Errorf("parameters: port: %d is not a port", given.Port)
	}
	if given.Path != "" && !strings.HasPrefix(given.Path, "/") {
		return fmt.Errorf("parameters: path: %q must begin with /", given.Path)
	}
	if given.Interval.Duration < 0 {
		return fmt.Errorf("parameters: interval: %s is below 0", given.Interval.Duration)
	}
	for _, field := range [][2]string{
		{"caCertPath", given.CACertPath}, {"clientCertPath", given.ClientCertPath}, {"clientKeyPath", given.ClientKeyPath},
	} {
		if field[1] != "" {
			return fmt.Errorf("parameters: %s: not supported by this version; remove it", field[0])
		}
	}
	m.Scheme, m.Path, m.Port = given.Scheme, given.Path, given.Port
	m.Interval, m.CheckCertificates = given.Interval.Duration, !given.InsecureSkipVerify
	return nil
}
