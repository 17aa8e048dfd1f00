package scorer

// invertMinMax turns loads into scores in place: the smallest load becomes 1, the largest 0, and all 1 when they are equal.
func invertMinMax(values []float32) {
	if len(values) == 0 {
		return
	}
	low, high := values[0], values[0]
	for _, value := range values[1:] {
		low, high = min(low, value), max(high, value)
	}
	if low == high {
		for i := range values {
			values[i] = 1
		}
		return
	}
	scale := 1 / (high - low)
	for i, value := range values {
		values[i] = (high - value) * scale
	}
}
