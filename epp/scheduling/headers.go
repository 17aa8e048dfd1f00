package scheduling

// Header is a header of the request.
type Header struct {
	Name  string // lower case
	Value string
}

// Headers are the request headers that plugins asked for (HeaderReader): a handful, each name once.
type Headers []Header

// Get returns the value of a header, empty when the request does not have it.
func (h Headers) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}
