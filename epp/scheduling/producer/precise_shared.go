//go:build !quickstart

package producer

import (
	"cmp"

	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/kvindex/kvredis"
)

// parseShared checks the address of a database, or gives that of the one that is asked when none is named.
func parseShared(address string) (string, error) {
	address = cmp.Or(address, kvredis.DefaultAddress)
	return address, kvredis.ParseAddress(address)
}

func (s *preciseSettings) newShared(hasher *kvindex.Hasher, metrics *kvindex.Metrics) (sharedStore, error) {
	store, err := kvredis.New(kvredis.Options{Address: s.shared, Hasher: hasher, Metrics: metrics, Medium: s.tiers[0].Name})
	if err != nil {
		return nil, err
	}
	return redisIndex{store}, nil
}

// redisIndex is the one in Redis or Valkey.
type redisIndex struct{ *kvredis.Store }

// Shown implements sharedStore.
func (r redisIndex) Shown() any { return r.State() }
