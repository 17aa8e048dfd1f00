package config

// Unregister takes back what a test has registered.
func Unregister(types ...string) {
	for _, typ := range types {
		delete(catalogue, typ)
	}
}
