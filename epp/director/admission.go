package director

import (
	"context"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/saturation"
)

// admit waits until the request may be scheduled, or refuses it.
func (w *work) admit(ctx context.Context) error {
	flow := w.director.options.Flow
	if flow == nil {
		return w.shed()
	}
	request := flowcontrol.Request{
		Pool: w.x.pool.Key(), Priority: w.priority, Fairness: w.fairness, Bytes: int64(w.asked.size()),
		Model: w.body.Model, TargetModel: w.target, Arrived: w.x.began, TTFT: w.asked.TTFT,
		Queued: w.asked.Queued,
	}
	if revoke := w.asked.Revoke; revoke != nil && w.priority < 0 {
		request.Revoke = func(reason string) { revoke(notAdmitted(flowcontrol.Evicted(reason))) }
	}
	ticket, err := flow.Admit(ctx, request)
	if err != nil {
		return notAdmitted(err)
	}
	w.x.ticket = ticket
	return nil
}

// shed refuses a request that may be dropped while the pool is full. Others go on, whatever the pool's state.
func (w *work) shed() error {
	if w.priority >= 0 {
		return nil
	}
	if reading := saturation.Of(w.director.options.Config.Detector, w.x.pool.Pool, flowcontrol.Load{}); reading.Level < 1 {
		return nil
	}
	return saturated("system saturated, sheddable request dropped")
}
