package kvredis

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// engineKeys is what the keys of engines' names begin with.
const engineKeys = "engine:"

func blockKey(key uint64) string { return strconv.FormatUint(key, 10) }

func engineKey(hash uint64) string { return engineKeys + strconv.FormatUint(hash, 10) }

// entry is a field of a block.
type entry struct {
	PodIdentifier string // address:port
	DeviceTier    string // in lower case
	Speculative   bool   // a replica only takes the server to hold it
	HasGroup      bool
	GroupIdx      int
}

func (e entry) field() string {
	raw, _ := json.Marshal(e) // of such fields it cannot fail
	return string(raw)
}

func parseField(field string) (e entry, ok bool) {
	return e, json.Unmarshal([]byte(field), &e) == nil && e.PodIdentifier != ""
}

// tierOf is how a medium is written.
func tierOf(medium, first string) string {
	if medium == "" {
		medium = first
	}
	return strings.ToLower(medium)
}

// take drops the field ARGV[1] of the blocks KEYS[2] and following, and then the engine's name for them, KEYS[1], when nobody
// holds any of them. It tells how many fields there were.
var take = redis.NewScript(`
local dropped, left = 0, 0
for i = 2, #KEYS do
  dropped = dropped + redis.call('HDEL', KEYS[i], ARGV[1])
  left = left + redis.call('EXISTS', KEYS[i])
end
if left == 0 then redis.call('DEL', KEYS[1]) end
return dropped
`)
