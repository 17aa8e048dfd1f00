package status

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

func TestARoleThatMayLackTheRightToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, ruleObjects()...)
		b.writer.opts.RoleMayLack = true
		denied := true
		b.answer = func(string, client.Object) error {
			if denied {
				return apierrors.NewForbidden(schema.GroupResource{Group: llmd.Group, Resource: "inferenceobjectives"}, "o", errors.New("no"))
			}
			return nil
		}
		b.run()
		b.writer.Want(b.see(), ruleStatuses(metav1.ConditionTrue, 1))
		pass(5 * time.Minute)
		b.expectSentInAnyOrder(writesRules...)
		if n := b.logged("level=INFO"); n != 1 || b.logged("level=WARN") > 0 {
			t.Errorf("told %d times at info, %d at warn", n, b.logged("level=WARN"))
		}
		// Another Run, of a replica that leads again, does not tell it again.
		b.stop()
		b.run()
		pass(5 * time.Minute)
		b.expectSentInAnyOrder(writesRules...)
		if n := b.logged("level=INFO"); n != 1 {
			t.Errorf("told %d times", n)
		}
		denied = false
		pass(lackingRetry)
		b.expectSentInAnyOrder(writesRules...)
		if c := b.objective().Status.Conditions; len(c) != 2 || c[1].Status != metav1.ConditionTrue {
			t.Errorf("the conditions are %+v", c)
		}
	})
}
