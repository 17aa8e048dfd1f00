package xds

import "github.com/switchyard/switchyard/translate/resource"

// Answers is what the connected proxies of a view have said to one version of a resource.
type Answers struct {
	Accepted int // they run it
	Refused  int // they have rejected it
	Pending  int // they ask for the resource and have said nothing to this version yet
}

// Answers counts what the connected proxies of a view have said to a version of a resource that is, or was, in it.
func (s *Server) Answers(view string, id resource.ID, version string) Answers {
	var out Answers
	k, ok := keyOf(id)
	if !ok {
		return out
	}
	for _, c := range s.listConns() {
		if c.viewName == view {
			c.countAnswer(k, version, &out)
		}
	}
	return out
}

func (c *conn) countAnswer(k key, version string, out *Answers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.look(k)
	switch {
	case e.rejected == version:
		out.Refused++
	case e.has != nil && e.has.Version == version:
		out.Accepted++
	case c.interested(k, &e):
		out.Pending++
	}
}
