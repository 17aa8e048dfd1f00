package epp

// readinessReporter is a plugin that has to fetch or build something before it can do its work.
type readinessReporter interface {
	// Ready is nil when it can, else the reason why not.
	Ready() error
}

// reachable tells whether the picker knows its pool and may be sent requests as far as it goes by that.
func (e *EPP) reachable() bool {
	return !e.draining.Load() && e.options.Synced() && e.speaks()
}

// ready tells whether proxies should send requests here.
func (e *EPP) ready() bool {
	return e.reachable() && (e.options.Leading == nil || e.options.Leading()) && e.pluginsReady()
}

// speaks tells whether every parser can read the protocol that the pool's servers speak.
func (e *EPP) speaks() bool {
	return e.options.AppProtocol == nil || e.Config().Parsers.Speak(e.options.AppProtocol())
}

func (e *EPP) pluginsReady() bool {
	for _, declared := range e.Config().Plugins {
		if reporter, ok := declared.Plugin.(readinessReporter); ok && reporter.Ready() != nil {
			return false
		}
	}
	return true
}

// LeadershipChanged wakes those who watch the picker's health; it is for the owner of Options.Leading.
func (e *EPP) LeadershipChanged() { e.health.changed() }
