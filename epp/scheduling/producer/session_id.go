package producer

import (
	"fmt"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// SessionIDType is the type of SessionID.
const SessionIDType = "session-id-producer"

// SessionID notes the session of a request, from a header or a cookie, as the attribute SessionID. Plugins that read
// attributes, as session-affinity-scorer and session-affinity-filter do with the strategy session_id, decide by it.
type SessionID struct {
	header, cookie string
}

// NewSessionID reads `headerName` or `cookieName`, of which one may be given; the default is the header x-session-id.
func NewSessionID(parameters []byte) (*SessionID, error) {
	given := struct {
		HeaderName string `json:"headerName"`
		CookieName string `json:"cookieName"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.HeaderName != "" && given.CookieName != "" {
		return nil, fmt.Errorf("parameters: headerName, cookieName: give one of them")
	}
	if given.CookieName != "" {
		if _, err := scheduling.HeaderName("cookieName", given.CookieName); err != nil {
			return nil, fmt.Errorf("parameters: cookieName: %q is not the name of a cookie", given.CookieName)
		}
		return &SessionID{header: "cookie", cookie: given.CookieName}, nil
	}
	if given.HeaderName == "" {
		given.HeaderName = "x-session-id"
	}
	header, err := scheduling.HeaderName("headerName", given.HeaderName)
	return &SessionID{header: header}, err
}

// RequestHeaders implements scheduling.HeaderReader.
func (p *SessionID) RequestHeaders() []string { return []string{p.header} }

// Produce implements scheduling.Producer.
func (p *SessionID) Produce(c *scheduling.Cycle) {
	value := c.Headers.Get(p.header)
	if p.cookie != "" {
		value = cookie(value, p.cookie)
	}
	if value != "" {
		c.PutAttribute(scheduling.SessionAttribute, value)
	}
}

// cookie returns the value of one cookie of a Cookie header, empty when it is not there.
func cookie(header, name string) string {
	for pair := range strings.SplitSeq(header, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if key == name {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
