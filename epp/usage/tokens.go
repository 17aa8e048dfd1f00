package usage

// Tokens is what a request cost, as the model server reported it. A negative number is not known.
type Tokens struct {
	// Input is the whole prompt, with what came from a cache. Anthropic's API reports the three parts (read from the cache,
	// written to it, neither) apart; here they are summed, so that Input means the same for every API.
	Input int64
	// Output is what was generated.
	Output int64
	// Cached is the part of Input that came from the server's prefix cache.
	Cached int64
}

// Unknown is the usage of which nothing is known.
var Unknown = Tokens{Input: -1, Output: -1, Cached: -1}

// Merge takes over the numbers that other knows.
func (t *Tokens) Merge(other Tokens) {
	if other.Input >= 0 {
		t.Input = other.Input
	}
	if other.Output >= 0 {
		t.Output = other.Output
	}
	if other.Cached >= 0 {
		t.Cached = other.Cached
	}
}
