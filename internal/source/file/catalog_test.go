package file

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// edits is a catalog with the convenience of files from memory.
type edits struct {
	t *testing.T
	c *catalog
}

func newEdits(t *testing.T) *edits { return &edits{t: t, c: newCatalog()} }

// write gives a file a new text and tells whether the view changed.
func (e *edits) write(path, text string) bool {
	e.t.Helper()
	return e.c.apply(map[string]*manifest{path: parseManifest(path, []byte(text), e.c.files[path])})
}

func (e *edits) remove(path string) bool {
	return e.c.apply(map[string]*manifest{path: nil})
}

// expect compares the config maps (name=value@generation) and the number of problems.
func (e *edits) expect(problems int, want ...string) {
	e.t.Helper()
	var got []string
	for m := range e.c.update().Objects.ConfigMaps.All() {
		got = append(got, fmt.Sprintf("%s=%s@%d", m.Name, m.Data["v"], m.Generation))
	}
	if !slices.Equal(got, want) {
		e.t.Errorf("objects are %v, want %v", got, want)
	}
	if p := e.c.update().Problems; len(p) != problems {
		e.t.Errorf("%d problems, want %d: %v", len(p), problems, p)
	}
}

func (e *edits) get(name string) *corev1.ConfigMap {
	e.t.Helper()
	m, ok := e.c.update().Objects.ConfigMaps.Get("default", name)
	if !ok {
		e.t.Fatalf("no config map %s", name)
	}
	return m
}

func good(name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  v: %s\n", name, value)
}

func unknown(name string) string { return good(name, "x") + "dat: {}\n" }

const unreadable = "---\na: [\n"

func TestUnchangedObjectsKeepTheirPointer(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1")+good("b", "v1"))
	a, b := e.get("a"), e.get("b")

	if e.write("a.yaml", "# a comment\n"+good("a", "v1")+"\n"+good("b", "v1")) {
		t.Error("a comment changed the view")
	}
	if !e.write("a.yaml", good("b", "v2")+good("a", "v1")) {
		t.Error("an edit did not change the view")
	}
	if e.get("a") != a {
		t.Error("a moved in its file and is another object now")
	}
	if e.get("b") == b {
		t.Error("b was edited and is the same object")
	}
	e.c.apply(map[string]*manifest{
		"a.yaml": parseManifest("a.yaml", []byte(good("b", "v2")), e.c.files["a.yaml"]),
		"b.yaml": parseManifest("b.yaml", []byte(good("a", `"v1"`)), nil),
	})
	if e.get("a") != a {
		t.Error("a moved to another file and is another object now")
	}
	e.expect(0, "a=v1@1", "b=v2@2")
}

func TestGenerationCountsChangesOfTheSpec(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1"))
	first := e.get("a")
	e.write("a.yaml", good("a", "v2"))
	e.write("a.yaml", good("a", "v3"))
	e.expect(0, "a=v3@3")
	if first.Generation != 1 || first.Data["v"] != "v1" {
		t.Error("a published object was changed")
	}
	e.write("a.yaml", strings.Replace(good("a", "v3"), "  name: a\n", "  name: a\n  labels: {x: one}\n", 1))
	e.expect(0, "a=v3@3")
	if e.get("a").Labels["x"] != "one" {
		t.Error("the label did not arrive")
	}
	e.remove("a.yaml")
	e.write("a.yaml", good("a", "v4"))
	e.expect(0, "a=v4@1")
}

func TestABrokenObjectKeepsItsLastGoodVersion(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1")+good("b", "v1"))
	a := e.get("a")
	e.write("a.yaml", unknown("a")+good("b", "v2"))
	e.expect(1, "a=v1@1", "b=v2@2")
	if e.get("a") != a {
		t.Error("the last good version is another object")
	}
	e.write("a.yaml", good("a", "v2")+good("b", "v2"))
	e.expect(0, "a=v2@2", "b=v2@2")
}

func TestABrokenObjectWithoutAGoodVersionIsAbsent(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", unknown("a")+good("b", "v1")+unreadable)
	e.expect(2, "b=v1@1")
	e.write("a.yaml", good("a", "v1")+good("b", "v1")+unreadable)
	e.expect(1, "a=v1@1", "b=v1@1")
}

func TestRemovingADocumentRemovesItsObject(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1")+good("b", "v1"))
	e.write("b.yaml", good("c", "v1"))
	e.write("a.yaml", good("b", "v1"))
	e.expect(0, "b=v1@1", "c=v1@1")
	e.write("a.yaml", "# nothing left\n")
	e.expect(0, "c=v1@1")
	e.remove("b.yaml")
	e.expect(0)
	e.write("a.yaml", good("a", "v1"))
	e.write("a.yaml", unknown("a"))
	e.expect(1, "a=v1@1")
	e.remove("a.yaml")
	e.expect(0)
}

func TestAnUnreadableDocumentKeepsWhatItHeld(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1")+good("b", "v1")+good("c", "v1"))
	e.write("a.yaml", good("a", "v2")+unreadable+good("c", "v1"))
	e.expect(1, "a=v2@2", "b=v1@1", "c=v1@1")
	// The document stays unreadable while a good one beside it is deleted: that one goes.
	e.write("a.yaml", good("a", "v2")+unreadable)
	e.expect(1, "a=v2@2", "b=v1@1")
	// Still being edited: unreadable in another way.
	e.write("a.yaml", good("a", "v2")+"---\nb: ]\n")
	e.expect(1, "a=v2@2", "b=v1@1")
	e.write("a.yaml", good("a", "v2")+good("b", "v2"))
	e.expect(0, "a=v2@2", "b=v2@2")
	e.write("a.yaml", unreadable)
	e.expect(1, "a=v2@2", "b=v2@2")
	e.remove("a.yaml")
	e.expect(0)
}

func TestAnUnreadableDocumentLetsGoOfWhatIsBack(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1")+good("b", "v1"))
	e.write("a.yaml", good("a", "v1")+unreadable)
	e.expect(1, "a=v1@1", "b=v1@1")
	e.write("a.yaml", good("a", "v1")+unreadable+good("b", "v1"))
	e.expect(1, "a=v1@1", "b=v1@1")
	e.write("a.yaml", good("a", "v1")+unreadable)
	e.expect(1, "a=v1@1")
}

func TestAMisspeltIdentityKeepsTheObject(t *testing.T) {
	for name, broken := range map[string]string{
		"kind":       strings.Replace(good("a", "v2"), "ConfigMap", "ConfigMapp", 1),
		"no kind":    strings.Replace(good("a", "v2"), "kind: ConfigMap\n", "", 1),
		"no name":    strings.Replace(good("a", "v2"), "name: a", "nam: a", 1),
		"name twice": strings.Replace(good("a", "v2"), "name: a", "name: a\n  name: z", 1),
		"not a map":  "---\n- x\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdits(t)
			e.write("a.yaml", good("a", "v1"))
			e.write("a.yaml", broken)
			e.expect(1, "a=v1@1")
		})
	}
}

func TestAnObjectMovedOutOfAnUnreadableFileIsTaken(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", good("a", "v1"))
	e.write("a.yaml", unreadable)
	e.write("b.yaml", good("a", "v2"))
	e.expect(1, "a=v2@2")
}

func TestTheFirstOfTwoInPathOrderCounts(t *testing.T) {
	e := newEdits(t)
	e.write("b.yaml", good("a", "vb"))
	e.write("c.yaml", good("a", "vc"))
	e.expect(1, "a=vb@1")
	first := e.get("a")
	e.write("a.yaml", good("x", "v1")+good("a", "va"))
	e.expect(2, "a=va@2", "x=v1@1")
	want := source.Problem{
		File: "b.yaml", Document: 1, Line: 2, Object: source.Ref{Kind: "ConfigMap", Namespace: "default", Name: "a"},
		Message: "the same object is in a.yaml (document 2), which is the one that counts",
		Fix:     "remove one of the two or rename it",
	}
	if p := e.c.update().Problems; p[0] != want {
		t.Errorf("got  %+v\nwant %+v", p[0], want)
	}
	e.remove("a.yaml")
	e.expect(1, "a=vb@3")
	if first.Generation != 1 {
		t.Error("an object that a reader holds got another generation")
	}
	e.remove("b.yaml")
	e.expect(0, "a=vc@4")
	e.write("c.yaml", good("a", "vc")+good("a", "vd"))
	e.expect(1, "a=vc@4")
}

func TestWarningsForIgnoredKinds(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"+good("a", "v1"))
	e.expect(0, "a=v1@1")
	if w := e.c.update().Warnings; len(w) != 1 || w[0].Object.Kind != "Deployment" || w[0].Line != 2 {
		t.Errorf("warnings are %+v", w)
	}
	if !e.write("a.yaml", good("a", "v1")) || len(e.c.update().Warnings) != 0 {
		t.Error("the warning did not go with the object")
	}
}

func TestLinesFollowADocumentThatMoves(t *testing.T) {
	e := newEdits(t)
	e.write("a.yaml", unknown("a"))
	before := e.c.update().Problems[0]
	e.write("a.yaml", good("x", "v1")+unknown("a"))
	after := e.c.update().Problems[0]
	if before.Line != 8 || after.Line != 15 || before.Document != 1 || after.Document != 2 {
		t.Errorf("problem at %d (document %d), then at %d (document %d)", before.Line, before.Document, after.Line, after.Document)
	}
}

// A long history of edits, good and bad, ends in the view that reading the final good files gives.
func TestHistoryDoesNotShow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	e := newEdits(t)
	text := func() string {
		var b strings.Builder
		for range r.IntN(4) {
			switch name := fmt.Sprint("o", r.IntN(6)); r.IntN(6) {
			case 0:
				b.WriteString(unknown(name))
			case 1:
				b.WriteString(unreadable)
			default:
				b.WriteString(good(name, fmt.Sprint("v", r.IntN(3))))
			}
		}
		return b.String()
	}
	for round := range 200 {
		for range 5 {
			path := fmt.Sprintf("f%d.yaml", r.IntN(4))
			if r.IntN(5) == 0 {
				e.remove(path)
			} else {
				e.write(path, text())
			}
		}
		final := map[string]*manifest{}
		fresh := newCatalog()
		for i := range 4 {
			path := fmt.Sprintf("f%d.yaml", i)
			var b strings.Builder
			for range r.IntN(4) {
				b.WriteString(good(fmt.Sprint("o", r.IntN(6)), fmt.Sprint("v", r.IntN(3))))
			}
			final[path] = parseManifest(path, []byte(b.String()), nil)
			e.write(path, b.String())
		}
		fresh.apply(final)
		if got, want := viewText(e.c), viewText(fresh); got != want {
			t.Fatalf("round %d: after the history\n%s\nfrom scratch\n%s", round, got, want)
		}
		if !reflect.DeepEqual(e.c.update().Problems, fresh.update().Problems) {
			t.Fatalf("round %d: problems %v and %v", round, e.c.update().Problems, fresh.update().Problems)
		}
	}
}

func viewText(c *catalog) string {
	var b strings.Builder
	for m := range c.update().Objects.ConfigMaps.All() {
		fmt.Fprintf(&b, "%s=%s\n", m.Name, m.Data["v"])
	}
	return b.String()
}

// A directory that turns unreadable keeps what was in it, and gives it back when it is readable again.
func TestAnUnreadableDirectoryKeepsItsObjects(t *testing.T) {
	e := newEdits(t)
	e.write("d/sub/a.yaml", good("a", "v1"))
	e.write("d/b.yaml", good("b", "v1"))
	e.remove("d/b.yaml")
	e.c.apply(scanned{unreadable: map[string]error{"d/sub": os.ErrPermission}}.load(e.c.files))
	if got := viewText(e.c); got != "a=v1\n" {
		t.Errorf("view is %q, want a", got)
	}
	problems := e.c.update().Problems
	if len(problems) == 0 || !strings.Contains(problems[0].Message, "permission") {
		t.Errorf("problems are %v", problems)
	}
	e.write("d/sub/a.yaml", good("a", "v2"))
	e.remove("d/sub")
	e.expect(0, "a=v2@2")
}
