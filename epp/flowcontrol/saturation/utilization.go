package saturation

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// UtilizationType is the type of Utilization.
const UtilizationType = "utilization-detector"

// Utilization reads the model servers' own metrics: an endpoint is as full as its queue or its KV cache, whichever is fuller, and a
// pool is the mean of its endpoints. In a scheduling profile it removes endpoints whose queue or cache is beyond the limit, and those
// whose metrics are stale; when nobody is left there all stay, and the scorers choose the least bad.
type Utilization struct {
	queue, usage float64
	stale        time.Duration
	headroom     float64
	ignoreStale  bool
}

// NewUtilization reads `queueDepthThreshold` (5, above 0): waiting requests of a full endpoint; `kvCacheUtilThreshold` (0.8, above 0 and
// at most 1): cache usage of a full endpoint; `metricsStalenessThreshold` (200ms, above 0): the age at which metrics are stale;
// `stalenessPolicy` (saturated): a stale endpoint counts as full, or not at all (ignore); `headroom` (0, at least 0): how far above the
// thresholds an endpoint may go in a scheduling profile, as a share.
//
// No metrics are stale before two of the intervals at which their endpoint is asked have passed, whatever the threshold: servers
// without requests are asked once a second, and what was read of them a second ago is as good as it gets. With the threshold alone
// an idle pool would be a full one.
func NewUtilization(parameters []byte) (*Utilization, error) {
	given := struct {
		Queue    float64         `json:"queueDepthThreshold"`
		Usage    float64         `json:"kvCacheUtilThreshold"`
		Stale    metav1.Duration `json:"metricsStalenessThreshold"`
		Policy   string          `json:"stalenessPolicy"`
		Headroom float64         `json:"headroom"`
	}{Queue: 5, Usage: 0.8, Stale: metav1.Duration{Duration: 200 * time.Millisecond}, Policy: "saturated"}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	switch {
	case !(given.Queue > 0):
		return nil, fmt.Errorf("parameters: queueDepthThreshold: %g is not above 0", given.Queue)
	case !(given.Usage > 0 && given.Usage <= 1):
		return nil, fmt.Errorf("parameters: kvCacheUtilThreshold: %g is not above 0 and at most 1", given.Usage)
	case given.Stale.Duration <= 0:
		return nil, fmt.Errorf("parameters: metricsStalenessThreshold: %s is not above 0", given.Stale.Duration)
	case given.Policy != "saturated" && given.Policy != "ignore":
		return nil, fmt.Errorf("parameters: stalenessPolicy: %q must be saturated or ignore", given.Policy)
	case !(given.Headroom >= 0):
		return nil, fmt.Errorf("parameters: headroom: %g is below 0", given.Headroom)
	}
	return &Utilization{queue: given.Queue, usage: given.Usage, stale: given.Stale.Duration, headroom: given.Headroom,
		ignoreStale: given.Policy == "ignore"}, nil
}

// mean sums up the endpoints of a stage; counted are those whose metrics count.
type mean struct {
	sum            float64
	counted, known int
}

// Measure implements flowcontrol.Detector.
func (u *Utilization) Measure(endpoints []flowcontrol.Endpoint, ahead flowcontrol.Load, now time.Time) flowcontrol.Reading {
	reading := flowcontrol.Reading{Endpoints: len(endpoints)}
	var prefill, decode mean
	for i := range endpoints {
		e := &endpoints[i]
		stale := u.isStale(e, now)
		if stale {
			reading.Stale++
		}
		score := 1.0
		if !stale {
			score = max(u.waiting(e)/u.queue, e.KVUsage/u.usage)
		}
		inPrefill, inDecode := stages(e.Role)
		if inPrefill {
			prefill.add(score, stale, u.ignoreStale)
		}
		if inDecode {
			decode.add(score, stale, u.ignoreStale)
		}
	}
	reading.Prefill = prefill.stage(ahead, u.queue)
	reading.Decode = decode.stage(ahead, u.queue)
	return higher(reading)
}

func (m *mean) add(score float64, stale, ignored bool) {
	m.known++
	if !stale || !ignored {
		m.sum += score
		m.counted++
	}
}

// stage is the mean plus what is ahead, which joins queues.
func (m *mean) stage(ahead flowcontrol.Load, queue float64) flowcontrol.Stage {
	if m.known == 0 {
		return flowcontrol.Stage{}
	}
	level := float64(ahead.Requests) / queue / float64(m.known)
	if m.counted > 0 {
		level += m.sum / float64(m.counted)
	}
	return flowcontrol.Stage{Endpoints: m.known, Level: level}
}

// isStale tells whether an endpoint's numbers say nothing. Where the data layer does not tell how often it asks, numbers are good
// for as long as it believes them.
func (u *Utilization) isStale(e *flowcontrol.Endpoint, now time.Time) bool {
	switch {
	case e.At.IsZero() || !e.HasWaiting && !e.HasUsage:
		return true
	case e.Every > 0:
		return now.Sub(e.At) > max(u.stale, 2*e.Every)
	}
	return !e.Fresh && now.Sub(e.At) > u.stale
}

// waiting is the endpoint's queue: as it was read or, if that is more, our own requests there that it does not show as running.
func (u *Utilization) waiting(e *flowcontrol.Endpoint) float64 {
	if !e.HasRunning {
		return e.Waiting
	}
	return max(e.Waiting, float64(e.Requests)-e.Running)
}

// Keeps implements flowcontrol.Detector. Our own requests count beyond scheduling.BurstSlack, as they do for scorers.
func (u *Utilization) Keeps(e flowcontrol.Endpoint, now time.Time) bool {
	if u.isStale(&e, now) || e.KVUsage > min(1, u.usage*(1+u.headroom)) {
		return false
	}
	limit := u.queue * (1 + u.headroom)
	return e.Waiting <= limit && u.waiting(&e)-scheduling.BurstSlack <= limit
}

// FailsOpen implements flowcontrol.Detector.
func (u *Utilization) FailsOpen() bool { return true }

// Lag implements flowcontrol.Detector: a model server frees what an ended request used within a quarter of a second, and a scrape
// shows it, which may be as old as the threshold allows; a second where that allows more, since servers with requests are asked often.
func (u *Utilization) Lag() time.Duration {
	const freeing, scrape = 250 * time.Millisecond, 50 * time.Millisecond
	return min(u.stale, time.Second) + freeing + scrape
}
