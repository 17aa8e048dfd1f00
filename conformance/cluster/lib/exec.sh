# Commands run in the network of the cluster, or inside its node. Sourced by ../cluster.

# Become COMMAND in the cluster's network, with names resolved by its DNS.
enter_network() {
	local no=localhost,127.0.0.0/8,.cluster.local,.svc,$CLUSTER_NODE_CIDR,$CLUSTER_POD_CIDR,$CLUSTER_SERVICE_CIDR,$CLUSTER_LB_CIDR
	export NO_PROXY=${NO_PROXY:+$NO_PROXY,}$no no_proxy=${no_proxy:+$no_proxy,}$no
	export KUBECONFIG=$STATE/admin.kubeconfig PATH=$BIN:$PATH
	export -n CLUSTER_T0
	exec nsenter --net="/proc/$INIT/ns/net" unshare --mount --propagation slave -- \
		bash -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$STATE/resolv.conf" "$@"
}
in_network() { (enter_network "$@"); }

cmd_exec() {
	need_root exec
	need_up
	local node=
	[[ ${1:-} == --node ]] && { node=1; shift; }
	[[ ${1:-} == -- ]] && shift
	(($#)) || die "usage: cluster exec [--node] -- COMMAND [ARGUMENT...]"
	[[ -n $node ]] || enter_network "$@"
	export CONTAINERD_NAMESPACE=k8s.io KUBECONFIG=$STATE/admin.kubeconfig PATH=$BIN:$PATH
	export -n CLUSTER_T0
	in_node "$@"
}
