package export

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// complainEvery is how often the log is told of what goes wrong.
const complainEvery = time.Minute

// quiet is an exporter that loses spans when it has to.
type quiet struct {
	sdktrace.SpanExporter
	complaints *complaints
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil {
		q.complaints.note(err, len(spans))
	}
	return nil
}

// complaints tell the log what went wrong, now and then.
type complaints struct {
	log *slog.Logger

	mu        sync.Mutex
	listening bool
	latest    time.Time
	lost      int // spans, since then
}

// listen has complaints count from now on.
func (c *complaints) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = true
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) { c.note(err, 0) }

func (c *complaints) note(err error, lost int) {
	c.mu.Lock()
	c.lost += lost
	lost = c.lost
	now := time.Now()
	due := c.listening && (c.latest.IsZero() || now.Sub(c.latest) >= complainEvery)
	if due {
		c.latest, c.lost = now, 0
	}
	c.mu.Unlock()
	if due {
		c.log.Warn("traces cannot be exported; requests are served as ever", "error", err, "lost_spans", lost)
	}
}
