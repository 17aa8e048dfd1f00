//go:build quickstart

package producer

import (
	"errors"

	"github.com/switchyard/switchyard/epp/kvindex"
)

var errQuickstart = errors.New("this program was built for the quickstart, without Redis and Valkey; `make build` builds all of it")

func parseShared(string) (string, error) { return "", errQuickstart }

func (*preciseSettings) newShared(*kvindex.Hasher, *kvindex.Metrics) (sharedStore, error) {
	return nil, errQuickstart
}
