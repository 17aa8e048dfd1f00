package certificate

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// Limits say what of TLS is spoken. The zero value is 1.2 or newer with the suites of the standard library.
type Limits struct {
	MinVersion uint16
	// Suites count up to TLS 1.2; those of 1.3 cannot be chosen.
	Suites []uint16
}

var versions = map[string]uint16{
	"VersionTLS10": tls.VersionTLS10, "VersionTLS11": tls.VersionTLS11,
	"VersionTLS12": tls.VersionTLS12, "VersionTLS13": tls.VersionTLS13,
}

// ParseVersion reads the name that Go's crypto/tls has for a version; "" is the default.
func ParseVersion(name string) (uint16, error) {
	if name == "" {
		return 0, nil
	}
	version, ok := versions[name]
	if !ok {
		return 0, fmt.Errorf("%q is not a version of TLS; give VersionTLS10, VersionTLS11, VersionTLS12 or VersionTLS13", name)
	}
	return version, nil
}

// ParseSuites reads names of cipher suites as crypto/tls has them. Insecure ones are refused.
func ParseSuites(names []string) ([]uint16, error) {
	var out []uint16
	for _, name := range names {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%q is not a cipher suite that may be used; give some of: %s", name, strings.Join(suiteNames(), ", "))
		}
		suite := tls.CipherSuites()[i]
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			out = append(out, suite.ID)
		}
	}
	if len(names) > 0 && len(out) == 0 {
		return nil, fmt.Errorf("none of %s is for TLS 1.2, and those of TLS 1.3 cannot be chosen; add one for 1.2 or leave the list out",
			strings.Join(names, ", "))
	}
	return out, nil
}

func suiteNames() []string {
	var names []string
	for _, suite := range tls.CipherSuites() {
		names = append(names, suite.Name)
	}
	return names
}

// apply narrows a configuration.
func (l Limits) apply(config *tls.Config) *tls.Config {
	if l.MinVersion != 0 {
		config.MinVersion = l.MinVersion
	}
	config.CipherSuites = l.Suites
	return config
}
