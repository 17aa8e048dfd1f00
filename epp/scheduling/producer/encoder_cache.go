package producer

import (
	"container/list"
	"sync"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// encoderCache remembers which media each server has got, the latest so many of each server. Safe for concurrent use.
type encoderCache struct {
	capacity int

	mu      sync.Mutex
	servers map[string]*encoderEntries // by address
}

// encoderEntries are the media of one server, most recent first.
type encoderEntries struct {
	pod   string
	order *list.List // of hashes
	at    map[uint64]*list.Element
}

func newEncoderCache(capacity int) *encoderCache {
	return &encoderCache{capacity: capacity, servers: map[string]*encoderEntries{}}
}

// held counts the parts that a server has, and calls hit for each of them.
func (c *encoderCache) held(address string, parts []mediaPart, hit func(mediaPart)) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := c.servers[address]
	if entries == nil {
		return 0
	}
	held := 0
	for _, part := range parts {
		if entries.at[part.hash] != nil {
			held++
			hit(part)
		}
	}
	return held
}

// add notes that a server gets these parts.
func (c *encoderCache) add(endpoint *datalayer.Endpoint, parts []mediaPart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := c.servers[endpoint.Address]
	if entries == nil {
		entries = &encoderEntries{pod: endpoint.Pod, order: list.New(), at: map[uint64]*list.Element{}}
		c.servers[endpoint.Address] = entries
	}
	for _, part := range parts {
		if known := entries.at[part.hash]; known != nil {
			entries.order.MoveToFront(known)
			continue
		}
		entries.at[part.hash] = entries.order.PushFront(part.hash)
		if entries.order.Len() > c.capacity {
			delete(entries.at, entries.order.Remove(entries.order.Back()).(uint64))
		}
	}
}

// keep forgets all servers but those that is says to be there, and returns the pods of those.
func (c *encoderCache) keep(is func(address string) bool) (gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, entries := range c.servers {
		if !is(address) {
			delete(c.servers, address)
			gone = append(gone, entries.pod)
		}
	}
	return gone
}
