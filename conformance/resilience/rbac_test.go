package resilience

import (
	"cmp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// right is something that an account may or must not do.
type right = authorizationv1.ResourceAttributes

// serviceAccount is the one that a Deployment runs with.
func serviceAccount(d *appsv1.Deployment) rbacv1.Subject {
	return rbacv1.Subject{
		Kind: rbacv1.ServiceAccountKind, Namespace: d.Namespace, Name: cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default"),
	}
}

// may asks the API server what an account would be allowed.
func (in *installation) may(t *testing.T, account rbacv1.Subject, r right) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		Groups:             []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + account.Namespace},
		ResourceAttributes: &r,
	}}
	if err := in.Create(t.Context(), review); err != nil {
		t.Fatalf("asking what %s may do: %v", account.Name, err)
	}
	return review.Status.Allowed
}

// forbidden is what a control plane for traffic has no business with, in any namespace.
var forbidden = []right{
	{Verb: "create", Resource: "pods"},
	{Verb: "delete", Resource: "pods"},
	{Verb: "create", Resource: "pods", Subresource: "exec"},
	{Verb: "get", Resource: "pods", Subresource: "log"},
	{Verb: "create", Resource: "pods", Subresource: "portforward"},
	{Verb: "create", Resource: "pods", Subresource: "eviction"},
	{Verb: "create", Resource: "serviceaccounts", Subresource: "token"},
	{Verb: "get", Resource: "nodes"},
	{Verb: "list", Resource: "nodes"},
	{Verb: "get", Resource: "nodes", Subresource: "proxy"},
	{Verb: "list", Resource: "persistentvolumes"},
	{Verb: "create", Resource: "namespaces"},
	{Verb: "delete", Resource: "namespaces"},
	{Verb: "patch", Resource: "namespaces"},
	{Verb: "impersonate", Resource: "users"},
	{Verb: "impersonate", Resource: "serviceaccounts"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "clusterroles"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "clusterrolebindings"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "roles"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "rolebindings"},
	{Verb: "bind", Group: rbacv1.GroupName, Resource: "clusterroles"},
	{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles"},
	{Verb: "create", Group: "apps", Resource: "daemonsets"},
	{Verb: "create", Group: "apps", Resource: "statefulsets"},
	{Verb: "create", Group: "batch", Resource: "jobs"},
	{Verb: "update", Group: "gateway.networking.k8s.io", Resource: "gateways"},
	{Verb: "delete", Group: "gateway.networking.k8s.io", Resource: "gateways"},
	{Verb: "update", Group: "gateway.networking.k8s.io", Resource: "httproutes"},
	{Verb: "delete", Group: "gateway.networking.k8s.io", Resource: "gatewayclasses"},
	{Verb: "update", Group: "inference.networking.k8s.io", Resource: "inferencepools"},
	{Verb: "create", Group: "llm-d.ai", Resource: "inferenceobjectives"},
	{Verb: "update", Group: "llm-d.ai", Resource: "inferenceobjectives"},
	{Verb: "patch", Group: "llm-d.ai", Resource: "inferencemodelrewrites"},
	{Verb: "delete", Group: "llm-d.ai", Resource: "inferencemodelrewrites"},
	{Verb: "update", Group: "inference.networking.x-k8s.io", Resource: "inferenceobjectives"},
	{Verb: "delete", Group: "inference.networking.x-k8s.io", Resource: "inferencemodelrewrites"},
	{Verb: "list", Group: "inference.networking.x-k8s.io", Resource: "inferencepools"},
	{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"},
	{Verb: "update", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
	{Verb: "create", Group: "certificates.k8s.io", Resource: "certificatesigningrequests"},
	{Verb: "*", Group: "*", Resource: "*"},
}

// TestRoleIsEnoughAndNoMore asks for the rights of the account that the control plane runs with. That they are enough is shown by
// every other test: all that those see, it has done.
func TestRoleIsEnoughAndNoMore(t *testing.T) {
	in := connect(t)
	d, err := in.deployment(t.Context(), in.namespace, in.name)
	if err != nil {
		t.Fatal(err)
	}
	account := serviceAccount(d)
	for _, needed := range append(rulesRights(),
		right{Verb: "list", Group: "gateway.networking.k8s.io", Resource: "gateways"},
		right{Verb: "patch", Group: "gateway.networking.k8s.io", Resource: "gateways", Subresource: "status"},
		right{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "default"},
	) {
		if !in.may(t, account, needed) {
			t.Errorf("%s may not %s, so that this is not the account of a working control plane", account.Name, describe(needed))
		}
	}
	in.expectForbidden(t, account, "", "default", "kube-system")
	for name, rules := range in.rulesOf(t, account) {
		for _, rule := range rules {
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") || slices.Contains(rule.APIGroups, "*") {
				t.Errorf("%s grants %+v", name, rule)
			}
		}
	}
}

// rulesRights are what objectives and model rewrites need. No other test has any of both groups.
func rulesRights() (out []right) {
	for _, group := range []string{"llm-d.ai", "inference.networking.x-k8s.io"} {
		for _, resource := range []string{"inferenceobjectives", "inferencemodelrewrites"} {
			for _, verb := range []string{"get", "list", "watch"} {
				out = append(out, right{Verb: verb, Group: group, Resource: resource})
			}
			out = append(out, right{Verb: "patch", Group: group, Resource: resource, Subresource: "status"})
		}
	}
	return out
}

// expectForbidden checks that an account may do nothing of what is forbidden; the empty namespace means all of them.
func (in *installation) expectForbidden(t *testing.T, account rbacv1.Subject, namespaces ...string) {
	t.Helper()
	for _, r := range forbidden {
		for _, r.Namespace = range namespaces {
			if in.may(t, account, r) {
				t.Errorf("%s/%s may %s", account.Namespace, account.Name, describe(r))
			}
		}
	}
}

func describe(r right) string {
	text := r.Verb + " " + r.Resource
	if r.Subresource != "" {
		text += "/" + r.Subresource
	}
	if r.Group != "" {
		text += " of " + r.Group
	}
	if r.Namespace != "" {
		return text + " in namespace " + r.Namespace
	}
	return text + " in all namespaces"
}

// rulesOf lists the rules of all roles bound to an account, by the name of the role, with its namespace if it lies in one.
func (in *installation) rulesOf(t *testing.T, account rbacv1.Subject) map[string][]rbacv1.PolicyRule {
	t.Helper()
	out := map[string][]rbacv1.PolicyRule{}
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			return s.Kind == account.Kind && s.Namespace == account.Namespace && s.Name == account.Name
		})
	}
	var wide rbacv1.ClusterRoleBindingList
	var narrow rbacv1.RoleBindingList
	if err := in.List(t.Context(), &wide); err != nil {
		t.Fatal(err)
	}
	if err := in.List(t.Context(), &narrow); err != nil {
		t.Fatal(err)
	}
	for _, b := range wide.Items {
		if bound(b.Subjects) {
			out["ClusterRole "+b.RoleRef.Name] = in.rules(t, b.RoleRef, "")
		}
	}
	for _, b := range narrow.Items {
		if bound(b.Subjects) {
			out[b.RoleRef.Kind+" "+b.Namespace+"/"+b.RoleRef.Name] = in.rules(t, b.RoleRef, b.Namespace)
		}
	}
	if len(out) == 0 {
		t.Fatalf("nothing is bound to %s/%s", account.Namespace, account.Name)
	}
	return out
}

func (in *installation) rules(t *testing.T, ref rbacv1.RoleRef, namespace string) []rbacv1.PolicyRule {
	t.Helper()
	var wide rbacv1.ClusterRole
	var narrow rbacv1.Role
	var err error
	if ref.Kind == "ClusterRole" {
		err = in.Get(t.Context(), client.ObjectKey{Name: ref.Name}, &wide)
	} else {
		err = in.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: ref.Name}, &narrow)
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(wide.Rules, narrow.Rules...)
}
