package response

// Usage is what a model server reported of one answer, in tokens; below 0: it did not.
type Usage struct {
	Input, Output, Cached int64
}

// Reporter tells the proxy a number about an answer that has ended, for its own filters, logs or quotas. Safe for concurrent
// use.
type Reporter interface {
	// Report is called once for an answer, when its usage is known as far as it will be. The value goes to the proxy as
	// dynamic metadata under namespace and name; not ok: there is nothing to tell. It must not block.
	Report(u Usage) (namespace, name string, value int64, ok bool)
}
