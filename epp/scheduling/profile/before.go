package profile

import "github.com/switchyard/switchyard/epp/scheduling"

// before runs producers and admitters, then a handler.
type before struct {
	producers []scheduling.Producer
	admitters []scheduling.Admitter
	handler   Handler
}

// Before has producers and admitters run, in their order, before a handler schedules. Without any it is the handler itself.
// What an admitter refuses is not scheduled; its error is returned.
func Before(handler Handler, producers []scheduling.Producer, admitters []scheduling.Admitter) Handler {
	if len(producers) == 0 && len(admitters) == 0 {
		return handler
	}
	return &before{producers: producers, admitters: admitters, handler: handler}
}

// Schedule implements Handler.
func (b *before) Schedule(c *scheduling.Cycle) ([]int, error) {
	for _, producer := range b.producers {
		producer.Produce(c)
		c.Lap(scheduling.PointProducer, producer)
	}
	for _, admitter := range b.admitters {
		err := admitter.Admit(c)
		c.Lap(scheduling.PointAdmitter, admitter)
		if err != nil {
			return nil, err
		}
	}
	return b.handler.Schedule(c)
}
