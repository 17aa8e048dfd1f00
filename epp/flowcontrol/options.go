package flowcontrol

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What the configuration file leaves open.
const (
	DefaultTTL          = 60 * time.Second
	DefaultBandRequests = 5000
	DefaultBandBytes    = 1_000_000_000
)

// recheck is how often saturation is read while requests wait and nobody brings news of it: metrics grow old without an event.
const recheck = 25 * time.Millisecond

// Options of a Controller.
type Options struct {
	// Saturation reads how full a pool is. ahead has been dispatched but is not in flight at an endpoint yet; a function that
	// leaves it out lets a burst through between two readings. It is called under the pool's lock: it must not wait, nor
	// call the controller. Required.
	Saturation func(pool string, ahead Load) Reading

	// MaxRequests and MaxBytes bound what waits for one pool, over all bands; 0: no bound.
	MaxRequests int
	MaxBytes    int64
	// TTL bounds the wait of a request, NoEndpointTTL while its pool is empty; 0: no bound.
	TTL, NoEndpointTTL time.Duration

	// Bands are the bands by priority.
	Bands map[int]Band
	// Default is the band of other priorities, Negative of those below 0; nil: as Default.
	Default  Band
	Negative *Band
	// UsageLimit is required.
	UsageLimit UsageLimit
	// Eviction has requests of low priority in flight make room for higher ones that wait; nil: what is in flight stays.
	Eviction *Eviction

	// Registerer takes the metrics; nil: there are none. Configure leaves it as New was told.
	Registerer prometheus.Registerer
	// Detector is the name of the saturation detector in the metrics.
	Detector string
}

// Eviction is whom requests of a higher priority may have revoked.
type Eviction struct {
	// Filter and Ordering are required.
	Filter   EvictionFilter
	Ordering EvictionOrdering
	// Lag is how long saturation may still show a request that has ended: see Detector.
	Lag time.Duration
}

// Band is how requests of one priority wait.
type Band struct {
	// MaxRequests and MaxBytes bound what waits; 0: DefaultBandRequests, DefaultBandBytes.
	MaxRequests int
	MaxBytes    int64
	// Fairness and Ordering are required.
	Fairness Fairness
	Ordering Ordering
}

func (b Band) complete(where string) (Band, error) {
	switch {
	case b.Fairness == nil:
		return b, fmt.Errorf("%s: no fairness policy given", where)
	case b.Ordering == nil:
		return b, fmt.Errorf("%s: no ordering policy given", where)
	case b.MaxRequests < 0:
		return b, fmt.Errorf("%s: maxRequests: %d is below 0", where, b.MaxRequests)
	case b.MaxBytes < 0:
		return b, fmt.Errorf("%s: maxBytes: %d is below 0", where, b.MaxBytes)
	}
	if b.MaxRequests == 0 {
		b.MaxRequests = DefaultBandRequests
	}
	if b.MaxBytes == 0 {
		b.MaxBytes = DefaultBandBytes
	}
	return b, nil
}

// complete checks the options and fills in defaults. It leaves the caller's maps alone.
func (o Options) complete() (Options, error) {
	switch {
	case o.Saturation == nil:
		return o, errors.New("saturation: no function given")
	case o.UsageLimit == nil:
		return o, errors.New("usageLimitPolicyPluginRef: no policy given")
	case o.Eviction != nil && (o.Eviction.Filter == nil || o.Eviction.Ordering == nil || o.Eviction.Lag < 0):
		return o, errors.New("enableEviction: give an eviction filter, an eviction ordering, and a lag of 0 or more")
	case o.MaxRequests < 0:
		return o, fmt.Errorf("maxRequests: %d is below 0", o.MaxRequests)
	case o.MaxBytes < 0:
		return o, fmt.Errorf("maxBytes: %d is below 0", o.MaxBytes)
	case o.TTL < 0:
		return o, fmt.Errorf("defaultRequestTTL: %s is below 0", o.TTL)
	case o.NoEndpointTTL < 0:
		return o, fmt.Errorf("noEndpointRequestTTL: %s is below 0", o.NoEndpointTTL)
	}
	var err error
	if o.Default, err = o.Default.complete("defaultPriorityBand"); err != nil {
		return o, err
	}
	negative := o.Default
	if o.Negative != nil {
		if negative, err = o.Negative.complete("defaultNegativePriorityBand"); err != nil {
			return o, err
		}
	}
	o.Negative = &negative
	bands := make(map[int]Band, len(o.Bands))
	for priority, band := range o.Bands {
		if bands[priority], err = band.complete(fmt.Sprintf("priorityBands: priority %d", priority)); err != nil {
			return o, err
		}
	}
	o.Bands = bands
	return o, nil
}

// Policies lists the fairness policies, each as often as a band has it.
func (o *Options) Policies() []Fairness {
	policies := []Fairness{o.Default.Fairness}
	if o.Negative != nil {
		policies = append(policies, o.Negative.Fairness)
	}
	for _, band := range o.Bands {
		policies = append(policies, band.Fairness)
	}
	return policies
}

// bandOf is the band of a priority, and whether it stays when nobody uses it.
func (o *Options) bandOf(priority int) (band Band, listed bool) {
	if band, listed = o.Bands[priority]; listed {
		return band, true
	}
	if priority < 0 {
		return *o.Negative, false
	}
	return o.Default, false
}
