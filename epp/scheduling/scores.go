package scheduling

// NoteScores keeps what a profile rated: scores[i] belongs to in[i]. Of several profiles the last one counts, which is the one
// whose choice the request goes to. It does nothing unless KeepScores is set.
func (c *Cycle) NoteScores(in []int, scores []float32) {
	if !c.KeepScores {
		return
	}
	c.rated = append(c.rated[:0], in...)
	c.ratings = append(c.ratings[:0], scores...)
}

// EachScore calls visit with every candidate that was rated, and its score.
func (c *Cycle) EachScore(visit func(candidate int, score float32)) {
	for i, candidate := range c.rated {
		visit(candidate, c.ratings[i])
	}
}
