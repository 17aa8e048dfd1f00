package kvevents

import "time"

// Quick has everything tried again at once.
func (o *Options) Quick(patience time.Duration) *Options {
	o.cooldown, o.patience, o.retry = time.Millisecond, patience, 10*time.Millisecond
	return o
}

// Accept serves engines that connect to a listener.
var Accept = (*Hub).accept
