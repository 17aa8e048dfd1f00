# The network, process and mount namespaces and the cgroups that hold everything else. Sourced by ../cluster.
#
# Every process of the cluster, pods included, lives in one process namespace. Its process 1 is the only one that is
# ever signalled from outside: when it is killed, the kernel ends all the others, and with them their mounts.

start_time() { # PID; nothing for one that has ended
	local s
	s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	set -- ${s##*)}
	[[ $1 != Z ]] && echo "${20}"
}

INIT=
find_init() { # sets INIT; fails when the cluster's process 1 is not alive
	local pid when
	INIT=
	[[ -f $STATE/init ]] || return 1
	read -r pid when <"$STATE/init" || return 1
	[[ -n $pid && $(start_time "$pid") == "$when" ]] || return 1
	INIT=$pid
}

need_up() { find_init || die "the cluster is not up (cluster up)"; }

in_node() { nsenter --target "$INIT" --mount --net --pid -- "$@"; }

# The cgroup directories of this cluster, for cgroup v1, hybrid or v2.
cgroup_roots() {
	local d
	if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
		echo /sys/fs/cgroup
	else
		for d in /sys/fs/cgroup/*/; do [[ -f $d/cgroup.procs && ! -L ${d%/} ]] && echo "${d%/}"; done
	fi
}

make_cgroups() {
	local root d f c
	for root in $(cgroup_roots); do
		if [[ -f $root/cgroup.subtree_control ]]; then
			for c in $(cat "$root/cgroup.controllers"); do
				echo "+$c" 2>/dev/null >"$root/cgroup.subtree_control" || true
			done
		fi
		for d in "$root/$CGROUP" "$root/$CGROUP/node"; do
			mkdir -p "$d"
			for f in cpuset.cpus cpuset.mems; do # cgroup v1 starts with none
				if [[ -f $d/cgroup.clone_children && -f $d/$f && -z $(cat "$d/$f") ]]; then cat "$(dirname "$d")/$f" >"$d/$f"; fi
			done
		done
		if [[ -f $root/$CGROUP/cgroup.subtree_control ]]; then
			for c in $(cat "$root/$CGROUP/cgroup.controllers"); do
				echo "+$c" 2>/dev/null >"$root/$CGROUP/cgroup.subtree_control" || true
			done
		fi
	done
}

# End what is still in the cluster's cgroups: what an 'up' that was cut short
# has left. Only for a name that remove_netns has found to be ours.
sweep() {
	local root pids
	for _ in {1..50}; do
		pids=$(for root in $(cgroup_roots); do
			[[ ! -d $root/$CGROUP ]] || find "$root/$CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null
		done | sort -un)
		[[ -n $pids ]] || return 0
		kill -KILL $pids 2>/dev/null || true
		sleep 0.2
	done
}

remove_cgroups() {
	local root
	for _ in {1..50}; do
		for root in $(cgroup_roots); do
			[[ ! -d $root/$CGROUP ]] || find "$root/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
		done
		for root in $(cgroup_roots); do [[ -d $root/$CGROUP ]] && { sleep 0.2; continue 2; }; done
		return 0
	done
	log "some cgroups named $CGROUP could not be removed"
}

netns_id() { stat -Lc %d:%i "/run/netns/$1" 2>/dev/null; }

remove_netns() {
	local f=/run/netns/$NETNS
	[[ -e $f ]] || return 0
	[[ -f $STATE/netns && $(cat "$STATE/netns") == "$(netns_id "$NETNS")" ]] && { ip netns del "$NETNS"; return; }
	# After a reboot the name can be left as an ordinary, empty file.
	[[ $(stat -fLc %T "$f") == nsfs ]] || { rm -f "$f"; return; }
	return 1
}

make_netns() {
	ip netns add "$NETNS"
	netns_id "$NETNS" >"$STATE/netns"
	ip netns exec "$NETNS" bash -euc '
		ip link set lo up
		# A bridge with no port holds the node address: not every kernel has dummy devices.
		ip link add node0 type bridge
		ip addr add "$1/${2#*/}" dev node0
		ip link set node0 up
		# kube-proxy rewrites these addresses before a packet leaves, but they must have a route.
		ip route add "$3" dev node0
		ip route add "$4" dev node0
		# Nothing else can be reached, and that is said at once.
		ip route add unreachable default
		# The same for Service addresses that kube-proxy has no endpoint for.
		for chain in OUTPUT FORWARD; do
			for range in "$3" "$4"; do
				iptables -w -A $chain -d "$range" -p tcp -j REJECT --reject-with tcp-reset
				iptables -w -A $chain -d "$range" -j REJECT
			done
		done
		sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
	' - "$NODE_IP" "$CLUSTER_NODE_CIDR" "$CLUSTER_SERVICE_CIDR" "$CLUSTER_LB_CIDR"
}

start_node() {
	local outer pid d
	make_netns
	make_cgroups
	mkdir -p "$STATE"/{etcd,kubelet,cni,log} "$STORE" "$PENDING"
	chmod 700 "$STATE/etcd"
	rm -rf "$STATE"/cni/* # no pod is alive, so no address is taken
	for d in /var/lib/kubelet /var/lib/cni; do # the mount points
		[[ -d $d ]] || { mkdir -p "$d" && echo "$d" >>"$STATE/made"; }
	done
	mkdir -p /var/lib/containerd
	(
		for d in $(cgroup_roots); do echo 0 >"$d/$CGROUP/node/cgroup.procs"; done
		exec setsid nsenter --net="/run/netns/$NETNS" \
			unshare --mount --pid --fork --mount-proc --propagation slave -- "$SELF" __init
	) >"$STATE/log/init.log" 2>&1 </dev/null 9>&- &
	outer=$!
	for _ in {1..100}; do
		pid=$(ps -o pid= --ppid "$outer" | tr -d ' ') || true
		[[ -n $pid && -e /proc/$pid/root/run/cluster/ready ]] && break
		kill -0 "$outer" 2>/dev/null || { cat "$STATE/log/init.log" >&2; die "the namespaces could not be made"; }
		sleep 0.05
	done
	[[ -e /proc/$pid/root/run/cluster/ready ]] || die "the namespaces could not be made; see $STATE/log/init.log"
	echo "$pid $(start_time "$pid")" >"$STATE/init"
	find_init || die "process 1 of the cluster ended at once; see $STATE/log/init.log"
}

# Process 1 of the node: make the node's own view of the files, then wait.
node_init() {
	mount --make-rshared /
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/cluster /run/lock /run/netns
	mount --bind "$STATE/kubelet" /var/lib/kubelet
	mount --bind "$STATE/cni" /var/lib/cni
	mount --bind "$STATE/log" /var/log
	mount --bind "$STORE" /var/lib/containerd
	: >/run/cluster/new
	: >/run/cluster/ready
	cd /
	exec "$BIN/pause"
}
