package file

import (
	"reflect"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/switchyard/switchyard/internal/source"
)

// defaultNamespace is where namespaced objects go that name none, as with kubectl.
const defaultNamespace = "default"

// checkMetadata checks what all kinds have in common.
func checkMetadata(raw map[string]any, k *kind) []source.Problem {
	var meta metav1.ObjectMeta
	if err := decodeStrict(raw, &meta); err != nil {
		return orRaw(fitProblems(raw, reflect.TypeFor[metav1.ObjectMeta](), "metadata"), "metadata", err)
	}
	var c checks
	for _, wrong := range k.checkName(meta.Name) {
		c.add("metadata.name", quoted(meta.Name)+" is not a name: "+rule(wrong), "rename it")
	}
	if !k.clusterScoped {
		for _, wrong := range validation.IsDNS1123Label(meta.Namespace) {
			c.add("metadata.namespace", quoted(meta.Namespace)+" is not a namespace: "+rule(wrong), "name the namespace that the object belongs to")
		}
	}
	at := field.NewPath("metadata")
	errs := metav1validation.ValidateLabels(meta.Labels, at.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(meta.Annotations, at.Child("annotations"))...)
	for _, p := range fieldProblems(errs) {
		c.add(p.Field, rule(p.Message), p.Fix)
	}
	return c.problems
}

// orRaw falls back on the decoder's own words when no field was found at fault.
func orRaw(problems []source.Problem, path string, err error) []source.Problem {
	if len(problems) > 0 {
		return problems
	}
	text := strings.TrimPrefix(err.Error(), "json: ")
	return []source.Problem{{Field: path, Message: "cannot be decoded: " + text}}
}
