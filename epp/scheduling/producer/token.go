package producer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/tokens"
)

// TokenType is the type of Token.
const TokenType = "token-producer"

// Token tells how many tokens a prompt has, and which. As an estimate, the default, four bytes of prompt are one token, and
// which ones is not known. With `vllm` the request is sent to a render endpoint of a vLLM server first, which answers with the
// tokens that the model would read; precise-prefix-cache-producer needs them. A request waits for that no longer than 400 ms
// and goes on with the estimate when they do not come, as it does when the proxy shows only the beginning of its body, when
// its API has no render endpoint (chat completions, completions, messages and responses have one), or when it has several
// prompts. Requests that bring their tokens themselves need no server. A server that fails five times in a row is left alone
// for a second.
//
// vLLM 0.32 needs `--enable-scale-out` to render, or is started by `vllm launch render`, which does nothing else. Requests are
// rendered with the model that they name, or with `modelName` where the server does not know it.
//
// Where the server may be slow, run one of its own for this, with the same model, tokenizer and chat template as those that
// generate.
type Token struct {
	client *tokens.Client
	asked  *prometheus.CounterVec
}

// producerBound is how long a request may wait for a producer.
const producerBound = 400 * time.Millisecond

type tokenParameters struct {
	ModelName string `json:"modelName"`
	Estimate  any    `json:"estimate"`
	VLLM      *struct {
		URL                string `json:"url"`
		Timeout            string `json:"timeout"`
		MMTimeout          string `json:"mmTimeout"`
		CACertPath         string `json:"caCertPath"`
		ClientCertPath     string `json:"clientCertPath"`
		ClientKeyPath      string `json:"clientKeyPath"`
		InsecureSkipVerify bool   `json:"insecureSkipVerify"`
	} `json:"vllm"`
	UDS any `json:"udsTokenizerConfig"`
}

// NewToken reads `estimate` (whose fields are not looked at) or `vllm`: `url` (http://localhost:8000), `timeout` (5s) and
// `mmTimeout` (30s), which count only below the 400 ms that a request waits anyway; for an https URL `caCertPath` (the
// system's), `clientCertPath` and `clientKeyPath`, which are read once, and `insecureSkipVerify`. `modelName` alone selects
// vllm, too. The older `udsTokenizerConfig` is refused: use vllm.
func NewToken(parameters []byte) (*Token, error) {
	given := tokenParameters{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.UDS != nil {
		return nil, errors.New("parameters: udsTokenizerConfig: not supported: there is no tokenizer behind a socket any more; " +
			"use vllm with the url of a vLLM server")
	}
	p := &Token{asked: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "llm_d_epp", Name: "token_producer_requests_total",
		Help: "[ALPHA] Prompts whose tokens were asked for, by result. All but ok go on with an estimate."}, []string{"result"})}
	if given.VLLM == nil && (given.ModelName == "" || given.Estimate != nil) {
		return p, nil
	}
	if given.VLLM != nil && given.Estimate != nil {
		return nil, errors.New("parameters: estimate, vllm: give one of them")
	}
	options, err := given.client()
	if err != nil {
		return nil, err
	}
	if p.client, err = tokens.New(options); err != nil {
		return nil, fmt.Errorf("parameters: vllm.url: %w", err)
	}
	return p, nil
}

// client are the options of the client.
func (given *tokenParameters) client() (tokens.Options, error) {
	options := tokens.Options{Model: given.ModelName, Timeout: producerBound}
	v := given.VLLM
	if v == nil {
		return options, nil
	}
	options.URL = v.URL
	for _, limit := range []struct{ field, text string }{{"timeout", v.Timeout}, {"mmTimeout", v.MMTimeout}} {
		if limit.text == "" {
			continue
		}
		d, err := time.ParseDuration(limit.text)
		if err != nil || d <= 0 {
			return options, fmt.Errorf("parameters: vllm.%s: %q is not a duration above 0, such as 5s", limit.field, limit.text)
		}
		options.Timeout = min(options.Timeout, d)
	}
	if v.CACertPath == "" && v.ClientCertPath == "" && v.ClientKeyPath == "" && !v.InsecureSkipVerify {
		return options, nil
	}
	options.TLS = &tls.Config{InsecureSkipVerify: v.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	return options, readCertificates(options.TLS, v.CACertPath, v.ClientCertPath, v.ClientKeyPath)
}

// Tokenizes implements scheduling.Tokenizer.
func (p *Token) Tokenizes() bool { return p.client != nil }

// Collectors implements scheduling.Measured.
func (p *Token) Collectors() []prometheus.Collector {
	if p.client == nil {
		return nil
	}
	return []prometheus.Collector{p.asked}
}

// Produce implements scheduling.Producer.
func (p *Token) Produce(c *scheduling.Cycle) {
	if p.client == nil || c.Tokens != nil {
		return
	}
	prompt, result := p.render(c)
	p.asked.WithLabelValues(result).Inc()
	c.Tokens = prompt
}

func (p *Token) render(c *scheduling.Cycle) (prompt *tokens.Prompt, result string) {
	if c.Request.Truncated || len(c.Body) == 0 {
		return nil, "body_not_whole"
	}
	ctx, cancel := context.WithTimeout(c.Context, producerBound)
	defer cancel()
	prompt, err := p.client.Render(ctx, c.Request.API, effectiveBody(c))
	switch {
	case err == nil && len(prompt.IDs) > 0:
		return prompt, "ok"
	case err == nil:
		return nil, "empty"
	case errors.Is(err, tokens.ErrAPI):
		return nil, "no_endpoint"
	case errors.Is(err, tokens.ErrResting):
		return nil, "resting"
	case errors.Is(err, context.DeadlineExceeded):
		return nil, "timeout"
	}
	return nil, "error"
}

// effectiveBody is the body that the model server gets: with the model that it is asked for.
func effectiveBody(c *scheduling.Cycle) []byte {
	from, to := c.Request.ModelStart, c.Request.ModelEnd
	if c.TargetModel == c.Request.Model || from <= 0 || to <= from || to > len(c.Body) {
		return c.Body
	}
	name, err := json.Marshal(c.TargetModel)
	if err != nil {
		return c.Body
	}
	return slices.Concat(c.Body[:from], name, c.Body[to:])
}
