package fairness

import (
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// RoundRobinType is the type of RoundRobin.
const RoundRobinType = "round-robin-fairness-policy"

// RoundRobin serves one request of each flow in turn. A flow that begins to wait goes behind those that wait already.
type RoundRobin struct{}

// NewRoundRobin takes no parameters.
func NewRoundRobin(parameters []byte) (RoundRobin, error) {
	return RoundRobin{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// NewTurns implements flowcontrol.Fairness.
func (RoundRobin) NewTurns() flowcontrol.Turns { return &robinTurns{} }

// robinTurns gives out turns by number; 2^53 of them are exact.
type robinTurns struct{ last float64 }

func (t *robinTurns) toBack(f *flowcontrol.Flow) {
	t.last++
	f.Turn = t.last
}

func (t *robinTurns) Joined(f *flowcontrol.Flow)                        { t.toBack(f) }
func (t *robinTurns) Served(f *flowcontrol.Flow)                        { t.toBack(f) }
func (t *robinTurns) Attained(_ string, _ float64, _ *flowcontrol.Flow) {}
func (t *robinTurns) Before(a, b *flowcontrol.Flow) bool                { return a.Turn < b.Turn }
