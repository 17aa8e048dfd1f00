package status

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// requestTimeout keeps an API server that does not answer from holding every place in flight.
	requestTimeout = 15 * time.Second
	fieldManager   = "switchyard"
)

// job is one request about one entry: a write of after over before, or a read when they are nil.
type job struct {
	entry         *entry
	before, after client.Object
	leftOut       int
	started       time.Time
}

func (j *job) reads() bool { return j.after == nil }

// result is what the API server said to a job; object is trimmed, and nil when there is an error.
type result struct {
	*job
	object client.Object
	err    error
}

func (w *Writer) do(ctx context.Context, j *job) result {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer := j.entry.kind.blank()
	var err error
	if j.reads() {
		key := client.ObjectKey{Namespace: j.entry.key.Namespace, Name: j.entry.key.Name}
		err = w.opts.Reader.Get(ctx, key, answer)
	} else {
		err = w.patch(ctx, j, answer)
	}
	if err != nil {
		return result{job: j, err: err}
	}
	return result{job: j, object: j.entry.kind.trim(answer)}
}

// patch writes the fields of the status that differ, if the object still has the resourceVersion that it
// was merged with. The answer goes into an object of its own, as what was sent shares memory with others.
func (w *Writer) patch(ctx context.Context, j *job, answer client.Object) error {
	merge := client.MergeFromWithOptions(j.before, client.MergeFromWithOptimisticLock{})
	body, err := merge.Data(j.after)
	if err != nil {
		return fmt.Errorf("make a patch of the status of %s %s: %w", j.entry.kind.name(), j.entry.key, err)
	}
	answer.SetNamespace(j.entry.key.Namespace)
	answer.SetName(j.entry.key.Name)
	return w.opts.Client.Status().Patch(ctx, answer, client.RawPatch(types.MergePatchType, body), client.FieldOwner(fieldManager))
}

// outcomeOf says how an attempt ended.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return written
	case apierrors.IsConflict(err):
		return conflict
	case apierrors.IsNotFound(err):
		return gone
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err),
		apierrors.IsUnauthorized(err), apierrors.IsRequestEntityTooLargeError(err):
		return refused
	default:
		return failed
	}
}
