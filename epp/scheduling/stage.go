package scheduling

import "strings"

// Stages of a request. Whoever decodes answers, and does what is not done elsewhere.
const (
	StageDecode  = "decode"
	StagePrefill = "prefill"
	StageEncode  = "encode"
)

// Stage is a part of a request that another candidate works on before the one that answers.
type Stage struct {
	// Name is StagePrefill, which leaves the prompt in the candidate's cache, or StageEncode, which does not.
	Name      string
	Candidate int
}

// AddStage notes that a candidate works on a stage of the request. It has the request in flight until the answer begins.
func (c *Cycle) AddStage(name string, candidate int) {
	c.stages = append(c.stages, Stage{Name: name, Candidate: candidate})
}

// Stages are those noted so far. They belong to the cycle.
func (c *Cycle) Stages() []Stage { return c.stages }

// Keep copies what a profile chose, in memory of the cycle: the next profile that runs writes over its own result. What was
// kept before stays.
func (c *Cycle) Keep(chosen []int) []int {
	from := len(c.kept)
	c.kept = append(c.kept, chosen...)
	return c.kept[from:len(c.kept):len(c.kept)]
}

// SendToPort has the proxy send the request to this port of the chosen endpoints' hosts, whatever their own ports are.
func (c *Cycle) SendToPort(port string) { c.port = port }

// Destination is the address of a candidate for the proxy.
func (c *Cycle) Destination(candidate int) string {
	address := c.Candidates[candidate].Address
	if c.port == "" {
		return address
	}
	return address[:strings.LastIndexByte(address, ':')+1] + c.port
}
