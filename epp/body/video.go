package body

import (
	"bytes"
	"math"
	"strconv"
)

// What a video counts as: the tokens of a frame, one per 1024 pixels, for each of the frames that a model looks at, two per second.
// Where the client does not say, ten seconds of 640 x 360 pixels are assumed.
const (
	framesPerSecond = 2.0
	defaultSeconds  = 10.0
	// defaultVideoTokens are those of a video of which nothing is known.
	defaultVideoTokens = int(defaultSeconds*framesPerSecond) * defaultTokens
	// maxVideoTokens is the most that a video counts as, whatever its request says of it: models take fewer frames of a long one.
	maxVideoTokens = 128 << 10
)

// VideoTokens estimates the tokens of each video of a request from what its client says in headers: the length in seconds, the
// frames per second, and WIDTHxHEIGHT in pixels. What is empty, no number, not above 0 or infinite is as good as not said. A video of
// fewer frames per second than a model looks at has no more than its own; more change nothing. The result is between 1 and 131072.
func VideoTokens(seconds, fps, resolution []byte) int {
	rate := framesPerSecond
	if own, ok := positive(fps); ok {
		rate = min(rate, own)
	}
	length, ok := positive(seconds)
	if !ok {
		length = defaultSeconds
	}
	frames := math.Floor(min(length*rate, maxVideoTokens))
	return int(min(max(frames*float64(frameTokens(resolution)), 1), maxVideoTokens))
}

// frameTokens are the tokens of a frame.
func frameTokens(resolution []byte) int {
	at := bytes.IndexAny(resolution, "xX")
	if at < 0 {
		return defaultTokens
	}
	width, wide := pixels(resolution[:at])
	height, high := pixels(resolution[at+1:])
	if !wide || !high {
		return defaultTokens
	}
	return tokensOf(width, height, maxVideoTokens)
}

// tokensOf are the tokens of a picture, at least one.
func tokensOf(width, height, most int) int {
	limit := most * pixelsPerToken
	return max(min(min(width, limit)*min(height, limit), limit)/pixelsPerToken, 1)
}

func pixels(text []byte) (int, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 32)
	return int(n), err == nil && n > 0
}

func positive(text []byte) (float64, bool) {
	n, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	return n, err == nil && n > 0 && !math.IsInf(n, 0)
}
