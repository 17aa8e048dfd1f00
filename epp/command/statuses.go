package command

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/internal/status"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// ruleStatuses tells the objectives and the model rewrites of the pool, in their statuses, what became of them. Those of other pools
// are the business of their pickers. nil where there are none: its methods then do nothing.
//
// A control plane writes the statuses of pools that its embedded picker picks for, in the same words. Should the two, or two replicas,
// not agree all the same, the picker gives way; see giveWay.
type ruleStatuses struct {
	pool   source.Key
	writer *status.Writer
	client *http.Client
	others *giveWay
	told   *source.Objects // that the writer was told of last
}

func (p *pickerProcess) newRuleStatuses() (*ruleStatuses, error) {
	if p.cluster == nil || p.loop == nil {
		return nil, nil
	}
	pool := source.Key{Namespace: p.flags.pool.inNamespace(), Name: p.flags.pool.named()}
	return newRuleStatuses(p.cluster, pool, p.log)
}

func newRuleStatuses(config *rest.Config, pool source.Key, log *slog.Logger) (*ruleStatuses, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server %s: %w", config.Host, err)
	}
	scheme := runtime.NewScheme()
	if err := llmd.Install(scheme); err != nil {
		return nil, err
	}
	written, err := client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: ruleKinds()})
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server %s: %w", config.Host, err)
	}
	return &ruleStatuses{
		pool: pool, client: httpClient, others: newGiveWay(log),
		writer: status.New(status.Options{Client: written, Log: log, RoleMayLack: true}),
	}, nil
}

// ruleKinds knows the kinds that are written, so that nothing has to be asked about them.
func ruleKinds() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, group := range []string{llmd.Group, llmd.OlderGroup} {
		for _, kind := range []string{llmd.ObjectiveKind, llmd.RewriteKind} {
			mapper.Add(schema.GroupVersionKind{Group: group, Version: llmd.Version, Kind: kind}, meta.RESTScopeNamespace)
		}
	}
	return mapper
}

// run writes until ctx ends, while this replica leads if one has to.
func (r *ruleStatuses) run(ctx context.Context, loop *pipeline.Pipeline, lease *leadership) error {
	if r == nil {
		return nil
	}
	defer utilnet.CloseIdleConnectionsFor(r.client.Transport)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return lease.whileHeld(ctx, r.writer.Run) })
	group.Go(func() error { r.follow(ctx, loop); return nil })
	return group.Wait()
}

func (r *ruleStatuses) follow(ctx context.Context, loop *pipeline.Pipeline) {
	for {
		result, changed := loop.Latest()
		if result != nil {
			r.tell(result.Objects)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// tell has the statuses of the objects written that are not as they should be.
func (r *ruleStatuses) tell(objects *source.Objects) {
	if r.told != nil && r.told.SameRules(objects) && r.told.InferencePools.Same(objects.InferencePools) {
		return // pods come and go more often than rules
	}
	r.told = objects
	statuses := gatewayapi.RuleStatuses(objects, r.pool)
	r.others.before(objects, &statuses)
	r.writer.Want(objects, statuses)
}
