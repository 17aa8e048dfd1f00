package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	overridehostv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/override_host/v3"
	subsetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/proto"
)

func (b *builder) policy(name string, config proto.Message) *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{
			Name:        "envoy.load_balancing_policies." + name,
			TypedConfig: b.pack(config),
		},
	}}}
}

func (b *builder) leastRequest() *clusterv3.LoadBalancingPolicy {
	return b.policy("least_request", &leastrequestv3.LeastRequest{})
}

// pickedHost sends a request to the picked address, if that is a member of the cluster, else to the next of
// the list. Without a usable pick a FailOpen pool falls back to the endpoint with the fewest requests; a
// FailClose pool has nobody to fall back to, which is 503 at once.
func (b *builder) pickedHost(failClose bool) *clusterv3.LoadBalancingPolicy {
	fallback := b.leastRequest()
	if failClose {
		fallback = b.nobody()
	}
	return b.policy("override_host", &overridehostv3.OverrideHost{
		OverrideHostSources: []*overridehostv3.OverrideHost_OverrideHostSource{{Metadata: lbKey(pickKey)}},
		SelectedHostKey:     lbKey(servedKey),
		FallbackPolicy:      fallback,
	})
}

// nobody selects a subset by a key that no endpoint has, without fallback.
func (b *builder) nobody() *clusterv3.LoadBalancingPolicy {
	return b.policy("subset", &subsetv3.Subset{
		FallbackPolicy:  subsetv3.Subset_NO_FALLBACK,
		SubsetSelectors: []*subsetv3.Subset_LbSubsetSelector{{Keys: []string{"picked"}}},
		SubsetLbPolicy:  b.leastRequest(),
	})
}

func lbKey(key string) *metadatav3.MetadataKey {
	return &metadatav3.MetadataKey{
		Key: lbNamespace,
		Path: []*metadatav3.MetadataKey_PathSegment{{
			Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: key},
		}},
	}
}
