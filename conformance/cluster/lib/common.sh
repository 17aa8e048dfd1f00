# Words used by every other part: log, die, waiting, addresses, settings, the lock. Sourced by ../cluster.

T0=${CLUSTER_T0:-$EPOCHREALTIME}
export CLUSTER_T0=$T0

log() { printf '[%6.1fs] %s\n' "$(bc_sub "$EPOCHREALTIME" "$T0")" "$*" >&2; }
bc_sub() { local d=$(( ${1/[.,]/} - ${2/[.,]/} )); printf '%d.%06d' $((d / 1000000)) $((d % 1000000)); }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

ip2int() { local IFS=. a; read -ra a <<<"$1"; echo $(( (a[0] << 24) + (a[1] << 16) + (a[2] << 8) + a[3] )); }
int2ip() { echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }
nth_ip() { int2ip $(($(ip2int "${1%/*}") + $2)); } # CIDR N

# until_ok SECONDS WHAT COMMAND...: try until it succeeds
until_ok() {
	local end=$((SECONDS + $1)) what=$2 out
	shift 2
	until out=$("$@" 2>&1); do
		((SECONDS < end)) || { printf '%s\n' "$out" | tail -n 5 >&2; die "$what: gave up waiting; the logs are in $STATE/log"; }
		check_daemons
		sleep 0.2
	done
}
check_daemons() { :; }

# ---------------------------------------------------------------- settings

: "${HOME:=/root}" "${CLUSTER_HOME:=$HOME/.cache/one-node-cluster}"
CLUSTER_HOME=$(realpath -ms "$CLUSTER_HOME")
: "${CLUSTER_BUILD:=$CLUSTER_HOME/build}"
CLUSTER_BUILD=$(realpath -ms "$CLUSTER_BUILD")
BIN=$CLUSTER_BUILD/bin
IMAGES=$CLUSTER_BUILD/images
STATE=$CLUSTER_HOME/state
STORE=$CLUSTER_HOME/containerd
PENDING=$CLUSTER_HOME/pending
SETTINGS=(CLUSTER_NETNS CLUSTER_NODE_CIDR CLUSTER_POD_CIDR CLUSTER_SERVICE_CIDR CLUSTER_LB_CIDR
          CLUSTER_CPU_REQUEST CLUSTER_PROXY_MODE)

# A cluster that was started keeps the settings it was started with.
load_settings() {
	local name value
	if [[ -f $STATE/init ]]; then
		while IFS='=' read -r name value; do
			[[ -z ${!name:-} || ${!name} == "$value" ]] || log "$name stays $value until 'cluster down'"
			printf -v "$name" '%s' "$value"
		done <"$STATE/settings"
	fi
	: "${CLUSTER_NETNS:=one-node}" "${CLUSTER_NODE_CIDR:=10.90.0.0/24}" "${CLUSTER_POD_CIDR:=10.244.0.0/16}"
	: "${CLUSTER_SERVICE_CIDR:=10.96.0.0/16}" "${CLUSTER_LB_CIDR:=10.97.0.0/16}"
	: "${CLUSTER_CPU_REQUEST:=10m}" "${CLUSTER_PROXY_MODE:=iptables}"
	export CLUSTER_HOME CLUSTER_BUILD "${SETTINGS[@]}"
	NETNS=$CLUSTER_NETNS NODE=$CLUSTER_NETNS CGROUP=cluster-$CLUSTER_NETNS
	NODE_IP=$(nth_ip "$CLUSTER_NODE_CIDR" 1)
	DNS_IP=$(nth_ip "$CLUSTER_SERVICE_CIDR" 10)
	API_IP=$(nth_ip "$CLUSTER_SERVICE_CIDR" 1)
}

need_root() {
	[[ $(id -u) == 0 ]] || die "'cluster $1' must run as root: it makes namespaces, mounts, cgroups and network devices"
}

# One build, up, down or load at a time. No daemon may inherit descriptor 9.
lock() {
	mkdir -p "$CLUSTER_HOME"
	exec 9>"$CLUSTER_HOME/lock"
	flock -n 9 && return
	log "waiting for another cluster command to end"
	flock -w 1200 9 || die "another cluster command holds $CLUSTER_HOME/lock"
}
