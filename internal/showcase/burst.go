package showcase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/switchyard/switchyard/internal/burst"
)

// Burst sends a short burst of conversations through the first way to a pool and prints what came of it. The
// error names everything that is not as it ought to be.
func (s *Showcase) Burst(ctx context.Context) error {
	t, err := s.target()
	if err != nil {
		return err
	}
	asked := servedModel{ID: s.opts.Model}
	if asked.ID == "" {
		if asked, err = firstModel(ctx, t); err != nil {
			return err
		}
		s.listed = asked.ID
	}
	report, err := burst.Run(ctx, burst.Options{
		Targets: []string{t.base}, Host: t.host, Path: t.path, Model: asked.ID,
		Groups: 4, PerGroup: 4, PromptTokens: asked.prompt(),
		WhichProxy:    func(id string) string { return s.access.find(id).proxy },
		WhichEndpoint: func(id string) string { return s.access.find(id).Served },
	})
	if err != nil {
		return err
	}
	if _, err := report.WriteTo(s.opts.Out); err != nil {
		return err
	}
	return report.Check(s.expect())
}

// expect is what a burst ought to show. Where requests land is only known of simulators.
func (s *Showcase) expect() burst.Expect {
	e := burst.Expect{Proxies: s.proxyNames()}
	if len(s.Simulators) > 0 {
		e.Sticky, e.Cached = true, true
		e.MinEndpoints = min(2, len(s.Simulators))
	}
	return e
}

// servedModel is an entry of /v1/models.
type servedModel struct {
	ID     string `json:"id"`
	MaxLen int    `json:"max_model_len"` // in tokens; 0: not told
}

// prompt is the length in tokens of four bytes that conversations begin with; 0 means the burst's own. A small model takes less of them,
// and its tokenizer may need more tokens for as many bytes.
func (m servedModel) prompt() int {
	const usual = 2000
	if m.MaxLen <= 0 || m.MaxLen/8 >= usual {
		return 0
	}
	return max(m.MaxLen/8, 1)
}

// firstModel asks the gateway which models there are.
func firstModel(ctx context.Context, t target) (servedModel, error) {
	var none servedModel
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+"/v1/models", nil)
	if err != nil {
		return none, fmt.Errorf("asking for the models: %w", err)
	}
	if t.host != "" {
		req.Host = t.host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return none, fmt.Errorf("asking for the models: %w", err)
	}
	defer resp.Body.Close()
	var list struct {
		Data []servedModel `json:"data"`
	}
	if resp.StatusCode != http.StatusOK {
		return none, fmt.Errorf("asking for the models: %s%s answered %s; name one with --model", t.base, "/v1/models", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return none, fmt.Errorf("reading the list of models: %w; name one with --model", err)
	}
	if len(list.Data) == 0 {
		return none, errors.New("the model servers list no model; name one with --model")
	}
	return list.Data[0], nil
}

// accessLog keeps what the proxies said of each of the last requests.
type accessLog struct {
	mu      sync.Mutex
	entries map[string]accessEntry
	order   []string
}

type accessEntry struct {
	proxy     string
	RequestID string `json:"request_id"`
	Served    string `json:"served"`
}

// maxAccessEntries bounds the memory of a long run; a burst is far smaller.
const maxAccessEntries = 4096

func newAccessLog() *accessLog { return &accessLog{entries: map[string]accessEntry{}} }

func (a *accessLog) write(proxy string, line []byte) {
	var e accessEntry
	if err := json.Unmarshal(line, &e); err != nil || e.RequestID == "" {
		return // not a request
	}
	e.proxy = proxy
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.order) == maxAccessEntries {
		delete(a.entries, a.order[0])
		a.order = a.order[1:]
	}
	a.entries[e.RequestID] = e
	a.order = append(a.order, e.RequestID)
}

// find waits a moment for the line of a request that has just ended.
func (a *accessLog) find(requestID string) accessEntry {
	deadline := time.Now().Add(2 * time.Second)
	for {
		a.mu.Lock()
		e, ok := a.entries[requestID]
		a.mu.Unlock()
		if ok || time.Now().After(deadline) {
			return e
		}
		time.Sleep(10 * time.Millisecond)
	}
}
