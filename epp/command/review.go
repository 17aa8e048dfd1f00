package command

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/epp/secure"
)

// tokenReviewer asks the API server whose token it is (TokenReview) and what its owner may do (SubjectAccessReview).
type tokenReviewer struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface
}

func newTokenReviewer(config *rest.Config) (*tokenReviewer, error) {
	authentication, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server to check tokens: %w", err)
	}
	authorization, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server to check access: %w", err)
	}
	return &tokenReviewer{tokens: authentication.TokenReviews(), access: authorization.SubjectAccessReviews()}, nil
}

// Review implements secure.Reviewer.
func (r *tokenReviewer) Review(ctx context.Context, question secure.Question) (secure.Decision, error) {
	who, err := r.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: question.Token}}, metav1.CreateOptions{})
	if err != nil {
		return secure.Unknown, fmt.Errorf("creating a TokenReview (the picker's role needs it: system:auth-delegator): %w", err)
	}
	if !who.Status.Authenticated {
		return secure.Unknown, nil
	}
	user := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	may, err := r.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: question.Path, Verb: question.Verb},
	}}, metav1.CreateOptions{})
	if err != nil {
		return secure.Unknown, fmt.Errorf("creating a SubjectAccessReview (the picker's role needs it: system:auth-delegator): %w", err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return secure.Denied, nil
	}
	return secure.Allowed, nil
}
