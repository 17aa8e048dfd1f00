// Package response holds the plugins that have a say in what a client is answered. They see what is known of an answer when
// its headers have come, and set headers of it; they see no body, refuse nothing and choose no endpoint. Declaring such a
// plugin in the configuration switches it on. Without any, an answer costs what it did before.
//
//	response headers + endpoint served -> Plugin -> headers set on the answer
package response

import "github.com/switchyard/switchyard/epp/datalayer"

// Plugin changes the headers of answers. Safe for concurrent use.
type Plugin interface {
	// AnswerHeaders is called once for an answer, after its headers came and before the client gets them. It must not
	// block, and must not keep the answer.
	AnswerHeaders(answer *Answer)
}

// Answer is a model server's answer, as far as it is known when its headers have come.
type Answer struct {
	// Endpoint is where the request was answered, as far as this picker knows; nil when it chose none.
	Endpoint *datalayer.Endpoint
	// Served is the endpoint ("ip:port") that the proxy says has answered; empty: it did not say.
	Served string

	headers []Header
}

// Header is a header that a plugin sets.
type Header struct{ Name, Value string }

// SetHeader sets a header of the answer, in place of whatever the model server has put there. Of several calls with one
// name the last counts. The name is in lower case.
func (a *Answer) SetHeader(name, value string) {
	for i := range a.headers {
		if a.headers[i].Name == name {
			a.headers[i].Value = value
			return
		}
	}
	a.headers = append(a.headers, Header{Name: name, Value: value})
}

// Headers are the headers set so far, each name once.
func (a *Answer) Headers() []Header { return a.headers }
