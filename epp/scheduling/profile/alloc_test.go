//go:build !race

package profile_test

import (
	"testing"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
)

// The race detector has sync.Pool drop things at random, so this holds only without it.
func TestPickAllocatesNothing(t *testing.T) {
	pool, keys := warmPool(100)
	handler := config.Default().Handler
	request := &body.Request{}
	allocs := testing.AllocsPerRun(200, func() { pick(t, handler, pool, request, keys) })
	if allocs > 0 {
		t.Fatalf("%g allocations per pick", allocs)
	}
}
