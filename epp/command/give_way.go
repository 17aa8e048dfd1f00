package command

import (
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// insists is how often a status is written again that somebody else has replaced.
const insists = 3

// giveWay ends fights over statuses. Two that write the same words never meet, for what stands there already is not written. Two that
// do not, such as a picker and a control plane of different versions, would go on forever: the picker leaves an object to the other
// one that has replaced its words three times, until it has something else to say about it.
type giveWay struct {
	log   *slog.Logger
	words map[subject]*words
}

// subject is an object, by the kind that its status is of.
type subject struct {
	kind string
	key  source.Key
}

// words are what is wanted of an object, and how often others have said something else instead.
type words struct {
	uid      types.UID
	wanted   []metav1.Condition
	seen     string // the resourceVersion that had the other's
	replaced int
}

func newGiveWay(log *slog.Logger) *giveWay {
	return &giveWay{log: log, words: map[subject]*words{}}
}

// before takes out of wanted what is left to others.
func (g *giveWay) before(objects *source.Objects, wanted *gatewayapi.Statuses) {
	kept := map[subject]*words{}
	leave(g, kept, llmd.ObjectiveKind, objects.InferenceObjectives, wanted.InferenceObjectives, ofObjective,
		func(o *llmd.InferenceObjective) *llmd.InferenceObjectiveStatus { return &o.Status })
	leave(g, kept, llmd.RewriteKind, objects.InferenceModelRewrites, wanted.InferenceModelRewrites, ofRewrite,
		func(o *llmd.InferenceModelRewrite) *llmd.InferenceModelRewriteStatus { return &o.Status })
	leave(g, kept, llmd.ObjectiveKind+"."+llmd.OlderGroup, objects.OlderInferenceObjectives, wanted.OlderInferenceObjectives, ofObjective,
		func(o *llmd.OlderInferenceObjective) *llmd.InferenceObjectiveStatus { return &o.Status })
	leave(g, kept, llmd.RewriteKind+"."+llmd.OlderGroup, objects.OlderInferenceModelRewrites, wanted.OlderInferenceModelRewrites, ofRewrite,
		func(o *llmd.OlderInferenceModelRewrite) *llmd.InferenceModelRewriteStatus { return &o.Status })
	g.words = kept
}

func ofObjective(s *llmd.InferenceObjectiveStatus) []metav1.Condition  { return s.Conditions }
func ofRewrite(s *llmd.InferenceModelRewriteStatus) []metav1.Condition { return s.Conditions }

// leave goes through the objects of a kind.
func leave[O client.Object, S any](g *giveWay, kept map[subject]*words, kind string, objects source.Set[O], wanted map[source.Key]*S,
	conditions func(*S) []metav1.Condition, status func(O) *S) {
	for key, want := range wanted {
		object, ok := objects.Get(key.Namespace, key.Name)
		if !ok {
			continue
		}
		at := subject{kind, key}
		w := g.words[at]
		if w == nil || w.uid != object.GetUID() || !sameWords(w.wanted, conditions(want)) {
			w = &words{uid: object.GetUID(), wanted: conditions(want)}
		}
		kept[at] = w
		if w.meets(conditions(status(object)), object.GetResourceVersion()) {
			continue
		}
		if w.replaced == insists+1 {
			g.log.Info("somebody else writes other things into a status: it is left to him", "kind", kind, "object", key.String())
			w.replaced++
		}
		delete(wanted, key)
	}
}

// meets takes note of what an object has and tells whether what is wanted is to be said again, or stands there.
func (w *words) meets(have []metav1.Condition, version string) bool {
	switch {
	case sameWords(have, w.wanted):
		return true
	case w.replaced <= insists && version != w.seen && aboutTheSame(have, w.wanted):
		w.replaced++
		w.seen = version
	}
	return w.replaced <= insists
}

// said finds a condition among those that pickers write; others are nobody's business here.
func said(list []metav1.Condition, kind string) (found metav1.Condition) {
	for _, c := range list {
		if c.Type == kind {
			found = c
			found.LastTransitionTime = metav1.Time{}
		}
	}
	return found
}

// sameWords tells whether two lists say the same, whenever they were written.
func sameWords(a, b []metav1.Condition) bool {
	for _, kind := range []string{"Accepted", "Ready", "Conflicted"} {
		if said(a, kind) != said(b, kind) {
			return false
		}
	}
	return true
}

// aboutTheSame tells whether somebody has written every condition that is wanted, about the same generation of the object.
func aboutTheSame(have, wanted []metav1.Condition) bool {
	for _, want := range wanted {
		if c := said(have, want.Type); c.Type == "" || c.ObservedGeneration != want.ObservedGeneration {
			return false
		}
	}
	return true
}
