package scheduling

import (
	"context"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// Runner is a plugin that has work of its own to do while its configuration is in force.
type Runner interface {
	// Run works until the context ends, and leaves nothing behind.
	Run(ctx context.Context, pools *datalayer.Pools) error
}
