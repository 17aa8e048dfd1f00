package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// clients send requests through a proxy.
type clients struct {
	load    *load
	servers *modelServers
	client  *http.Client
	url     string
	prompt  prompt
	talks   talks
}

func newClients(l *load, servers *modelServers, listen int, r row) *clients {
	return &clients{
		load: l, servers: servers, url: fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", listen), prompt: newPrompt(r.In, plain), talks: newTalks(r.Rate),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1 << 14, MaxIdleConns: 1 << 14, DisableCompression: true}},
	}
}

// answered waits until a request is answered. That earlier ones are not is no failure of the load.
func (c *clients) answered(ctx context.Context, alive func() error) error {
	first := *c
	first.load = &load{}
	return until(ctx, "the proxy answers", func() (bool, error) {
		if err := alive(); err != nil {
			return false, err
		}
		_, err := first.begin(ctx, int(c.load.next.Add(1)), func() time.Duration { return tokenTime })
		return err == nil, nil
	})
}

// begin implements requester: it returns when the model server has the request, which is what is waited for.
func (c *clients) begin(ctx context.Context, n int, hold func() time.Duration) (time.Duration, error) {
	v := c.servers.expect(n, hold)
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		err := c.send(ctx, n)
		c.servers.forget(n)
		if err != nil && ctx.Err() == nil {
			c.load.fail(err)
		}
		ended <- err
	}()
	select {
	case at := <-v.received:
		return at.Sub(began), nil
	case err := <-ended:
		return 0, errors.Join(err, errors.New("the request was over before a model server had it"))
	}
}

// send sends the n-th request and reads its answer.
func (c *clients) send(ctx context.Context, n int) error {
	c.load.flights.Add(1)
	defer c.load.flights.Add(-1)
	body := &parts{left: c.prompt.parts(c.talks.talk(n), n)}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, io.NopCloser(body))
	if err != nil {
		return err
	}
	request.ContentLength = int64(c.prompt.size())
	request.Header.Set("content-type", "application/json")
	request.Header.Set(headerNumber, strconv.Itoa(n))
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("the proxy answers %s: %s", response.Status, reason)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// parts reads pieces one after the other.
type parts struct{ left [][]byte }

// Read implements io.Reader.
func (p *parts) Read(into []byte) (int, error) {
	for len(p.left) > 0 && len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(into, p.left[0])
	p.left[0] = p.left[0][n:]
	return n, nil
}
