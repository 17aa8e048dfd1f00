package llmd

import (
	"encoding/json"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// full has a value in every field that is a reference.
func full() (InferenceObjective, InferenceModelRewrite) {
	meta := metav1.ObjectMeta{Name: "o", Labels: map[string]string{"a": "b"}}
	conditions := []metav1.Condition{{Type: "Ready", Message: "before"}}
	return InferenceObjective{
			ObjectMeta: meta, Spec: InferenceObjectiveSpec{Priority: new(int32(1)), PoolRef: PoolRef{Name: "p"}},
			Status: InferenceObjectiveStatus{Conditions: conditions},
		}, InferenceModelRewrite{
			ObjectMeta: *meta.DeepCopy(),
			Spec: InferenceModelRewriteSpec{PoolRef: PoolRef{Name: "p"}, Rules: []RewriteRule{{
				Matches: []RewriteMatch{{Model: ModelMatch{Value: "m"}}}, Targets: []RewriteTarget{{Weight: 1, ModelRewrite: "t"}}}}},
			Status: InferenceModelRewriteStatus{Conditions: append([]metav1.Condition(nil), conditions...)},
		}
}

// scribble changes everything that can be reached through a reference.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				scribble(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			v.SetMapIndex(k, reflect.New(v.Type().Elem()).Elem())
		}
	case reflect.String:
		v.SetString("scribbled")
	case reflect.Int32:
		v.SetInt(99)
	}
}

func TestCopiesShareNothing(t *testing.T) {
	objective, rewrite := full()
	for _, o := range []runtime.Object{
		&objective, &rewrite, &OlderInferenceObjective{*objective.DeepCopy()}, &OlderInferenceModelRewrite{*rewrite.DeepCopy()},
		&InferenceObjectiveList{Items: []InferenceObjective{*objective.DeepCopy()}},
		&InferenceModelRewriteList{Items: []InferenceModelRewrite{*rewrite.DeepCopy()}},
		&OlderInferenceObjectiveList{Items: []OlderInferenceObjective{{*objective.DeepCopy()}}},
		&OlderInferenceModelRewriteList{Items: []OlderInferenceModelRewrite{{*rewrite.DeepCopy()}}},
	} {
		before, _ := json.Marshal(o)
		c := o.DeepCopyObject()
		if reflect.TypeOf(c) != reflect.TypeOf(o) {
			t.Errorf("the copy of a %T is a %T", o, c)
		}
		if copied, _ := json.Marshal(c); string(copied) != string(before) {
			t.Errorf("%T: the copy is %s, want %s", o, copied, before)
		}
		scribble(reflect.ValueOf(c).Elem())
		if after, _ := json.Marshal(o); string(after) != string(before) {
			t.Errorf("%T: a change of the copy made %s of %s", o, after, before)
		}
	}
}

// A client finds the group of an object by its Go type: each type has one.
func TestEachTypeHasOneGroup(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := Install(scheme); err != nil {
		t.Fatal(err)
	}
	for object, want := range map[runtime.Object]schema.GroupVersionKind{
		&InferenceObjective{}:             {Group: Group, Version: Version, Kind: ObjectiveKind},
		&InferenceModelRewrite{}:          {Group: Group, Version: Version, Kind: RewriteKind},
		&OlderInferenceObjective{}:        {Group: OlderGroup, Version: Version, Kind: ObjectiveKind},
		&OlderInferenceModelRewrite{}:     {Group: OlderGroup, Version: Version, Kind: RewriteKind},
		&OlderInferenceObjectiveList{}:    {Group: OlderGroup, Version: Version, Kind: ObjectiveKind + "List"},
		&OlderInferenceModelRewriteList{}: {Group: OlderGroup, Version: Version, Kind: RewriteKind + "List"},
	} {
		got, _, err := scheme.ObjectKinds(object)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%T is %v (%v), want %v alone", object, got, err, want)
		}
	}
}

func TestPoolRefDefaults(t *testing.T) {
	for ref, want := range map[PoolRef]bool{
		{Name: "p"}: true,
		{Name: "p", Group: PoolGroup, Kind: PoolKind}: true,
		{Name: "p", Group: OlderGroup}:                false,
		{Name: "p", Kind: "Service"}:                  false,
	} {
		if ref.IsPool() != want {
			t.Errorf("%+v is a pool: %t, want %t", ref, !want, want)
		}
	}
}
