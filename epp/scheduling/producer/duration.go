package producer

import (
	"encoding/json"
	"fmt"
	"time"
)

// duration is a time as a parameter: text such as "5m", or a number of nanoseconds.
type duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return json.Unmarshal(raw, (*int64)(d))
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a time such as 5m or 90s", text)
	}
	*d = duration(parsed)
	return nil
}
