package kvindex

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are those of sizes, in lower case.
var units = map[string]float64{
	"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
}

// ParseSize reads a size in bytes, such as 2GiB, 500 MiB, 1.5GB or 1073741824. Units of 1024 have an i, others are of 1000.
func ParseSize(text string) (int64, error) {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(text)
	}
	number, err := strconv.ParseFloat(text[:end], 64)
	unit, known := units[strings.ToLower(strings.TrimSpace(text[end:]))]
	if err != nil || !known {
		return 0, fmt.Errorf("%q is not a size such as 2GiB, 500MiB or 1GB", text)
	}
	bytes := number * unit
	if bytes >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is more than can be", text)
	}
	return int64(bytes), nil
}
