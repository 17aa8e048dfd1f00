package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// templateHash is the annotation of the pod template that says what its pods depend on.
const templateHash = "switchyard.dev/template-hash"

func (f fleet) deployment(config *corev1.ConfigMap) (*appsv1.Deployment, error) {
	template := f.podTemplate()
	hash, err := hashTemplate(template, config.Data)
	if err != nil {
		return nil, err
	}
	template.Annotations = f.annotations(map[string]string{templateHash: hash})
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: f.meta(),
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: f.selector()},
			Template: template,
			// A proxy goes only after the one in its place serves.
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxUnavailable: pointer(intstr.FromInt32(0)), MaxSurge: pointer(intstr.FromString("25%")),
				},
			},
		},
	}
	if p := f.gw.Fleet.Parameters; p.Autoscaling == nil {
		d.Spec.Replicas = pointer(int32(defaultReplicas))
		if p.Replicas != nil {
			d.Spec.Replicas = pointer(*p.Replicas)
		}
	}
	return d, nil
}

// hashTemplate covers all that a pod is made of, but for the drainer's image.
func hashTemplate(template corev1.PodTemplateSpec, files map[string]string) (string, error) {
	template = *template.DeepCopy()
	if drainer := findDrainer(&template); drainer != nil {
		drainer.Image = ""
	}
	text, err := json.Marshal(struct {
		Template corev1.PodTemplateSpec
		Files    map[string]string
	}{template, files})
	if err != nil {
		return "", fmt.Errorf("encoding the pod template: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10]), nil
}

func findDrainer(template *corev1.PodTemplateSpec) *corev1.Container {
	for i := range template.Spec.Containers {
		if template.Spec.Containers[i].Name == drainContainer {
			return &template.Spec.Containers[i]
		}
	}
	return nil
}

// keepDrainer gives the wanted Deployment the drainer image of the live one when nothing else about the pods has
// changed, so that they are not restarted for it.
func keepDrainer(wanted, live *appsv1.Deployment) {
	if live.Spec.Template.Annotations[templateHash] != wanted.Spec.Template.Annotations[templateHash] {
		return
	}
	mine, theirs := findDrainer(&wanted.Spec.Template), findDrainer(&live.Spec.Template)
	if mine != nil && theirs != nil && theirs.Image != "" {
		mine.Image = theirs.Image
	}
}
