package scheduling

import "time"

// Extension points of a request, as dashboards know them.
const (
	PointProducer = "DataProducer"
	PointAdmitter = "Admitter"
	PointFilter   = "Filter"
	PointScorer   = "Scorer"
	PointPicker   = "Picker"
)

// Time has the plugins of this cycle timed, one after the other. Of most cycles they are not: reading the clock and telling what it
// says takes about as long as a cheap filter does.
func (c *Cycle) Time(tell func(point string, plugin any, took time.Duration)) {
	c.tell, c.lap = tell, time.Now()
}

// Lap tells the time since the last Lap or Skip as that of a plugin: what lies between two plugins of a row is little, and it saves every
// other look at the clock.
func (c *Cycle) Lap(point string, plugin any) {
	if c.tell == nil {
		return
	}
	now := time.Now()
	c.tell(point, plugin, now.Sub(c.lap))
	c.lap = now
}

// Skip leaves out what was done since the last plugin.
func (c *Cycle) Skip() {
	if c.tell != nil {
		c.lap = time.Now()
	}
}
