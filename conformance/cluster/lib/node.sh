# What runs inside the node: the daemons in the order in which they need each other, the manifests, and the check that
# a pod can use DNS. Sourced by ../cluster.

pid_of() { cat "/run/cluster/$1.pid" 2>/dev/null; }
running() { local p; p=$(pid_of "$1") && kill -0 "$p" 2>/dev/null; }

start() { # NAME COMMAND...
	local name=$1
	shift
	running "$name" && return
	log "start $name"
	setsid "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null 9>&- &
	echo $! >"/run/cluster/$name.pid"
	STARTED+=" $name"
}

stop() { # NAME, of a daemon that this node runs
	local pid
	pid=$(pid_of "$1") || return 0
	kill "$pid" 2>/dev/null || true
	for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	kill -KILL "$pid" 2>/dev/null || true
	rm -f "/run/cluster/$1.pid"
}

start_containerd() { start containerd containerd -c "$STATE/containerd.toml"; }

node_up() {
	local k=$STATE/pki f name ids
	export KUBECONFIG=$STATE/admin.kubeconfig
	cd "$STATE"
	for f in $(cgroup_roots); do echo 0 >"$f/$CGROUP/node/cgroup.procs"; done
	ulimit -n "$(ulimit -Hn)"
	STARTED=
	check_daemons() {
		local d
		for d in $STARTED; do
			running "$d" || { tail -n 20 "$STATE/log/$d.log" >&2; die "$d ended; its log is $STATE/log/$d.log"; }
		done
	}

	start etcd etcd --name node --data-dir "$STATE/etcd" --unsafe-no-fsync \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
		--initial-cluster node=http://127.0.0.1:2380 --auto-compaction-retention 1h --quota-backend-bytes 4294967296
	start_containerd
	until_ok 60 etcd bash -c 'exec 3<>/dev/tcp/127.0.0.1/2379'
	start kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
		--advertise-address="$NODE_IP" --secure-port=6443 --allow-privileged=true \
		--tls-cert-file="$k/kube-apiserver.crt" --tls-private-key-file="$k/kube-apiserver.key" \
		--client-ca-file="$k/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
		--kubelet-client-certificate="$k/apiserver-kubelet-client.crt" --kubelet-client-key="$k/apiserver-kubelet-client.key" \
		--kubelet-certificate-authority="$k/ca.crt" --kubelet-preferred-address-types=InternalIP \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local \
		--service-account-key-file="$k/sa.pub" --service-account-signing-key-file="$k/sa.key" \
		--service-cluster-ip-range="$CLUSTER_SERVICE_CIDR" \
		--requestheader-client-ca-file="$k/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- --enable-aggregator-routing=true \
		--proxy-client-cert-file="$k/front-proxy-client.crt" --proxy-client-key-file="$k/front-proxy-client.key" \
		--feature-gates=MutatingAdmissionPolicy=true --runtime-config=admissionregistration.k8s.io/v1beta1=true

	until_ok 60 containerd ctr version
	if [[ -e /run/cluster/new ]]; then
		# Nothing of the last run is alive: forget its containers, keep the images.
		ids=$(ctr -n k8s.io containers ls -q)
		if [[ -n $ids ]]; then
			log "forget $(wc -w <<<"$ids") containers of the last run"
			ctr -n k8s.io containers rm $ids >>"$STATE/log/cleanup.log" 2>&1 || true
			stop containerd
			start_containerd
			until_ok 60 containerd ctr version
		fi
		rm /run/cluster/new
	fi
	for f in "$IMAGES"/*.tar; do
		name=$(cat "${f%.tar}.name")
		ctr -n k8s.io images ls -q "name==$name" | grep -q . || import_image "$f" "$name"
	done
	for f in "$PENDING"/*.tar; do
		[[ -f $f ]] || continue
		name=$(cat "${f%.tar}.name")
		log "import $name"
		import_image "$f" "$name"
		rm -f "$f" "${f%.tar}.name"
	done

	until_ok 120 kube-apiserver kubectl get --raw=/readyz
	start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$k/kube-controller-manager.kubeconfig" \
		--bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
		--service-account-private-key-file="$k/sa.key" --root-ca-file="$k/ca.crt" \
		--cluster-signing-cert-file="$k/ca.crt" --cluster-signing-key-file="$k/ca.key" \
		--allocate-node-cidrs=true --cluster-cidr="$CLUSTER_POD_CIDR" --node-cidr-mask-size="${CLUSTER_POD_CIDR#*/}" \
		--service-cluster-ip-range="$CLUSTER_SERVICE_CIDR" --kube-api-qps=200 --kube-api-burst=400
	start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$k/kube-scheduler.kubeconfig" \
		--bind-address=127.0.0.1 --leader-elect=false
	start kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$k/kubelet.kubeconfig" \
		--hostname-override="$NODE" --node-ip="$NODE_IP" --root-dir=/var/lib/kubelet
	start kube-proxy "$BIN/kube-proxy" --config="$STATE/kube-proxy.yaml"
	start lbd "$BIN/lbd" -server "https://$NODE_IP:6443" -ca "$k/ca.crt" -cert "$k/admin.crt" -key "$k/admin.key" \
		-range "$CLUSTER_LB_CIDR"

	until_ok 60 "CoreDNS manifest" apply_manifests
	until_ok 120 "node" node_ready
	log "node is Ready"
	until_ok 120 CoreDNS kubectl -n kube-system rollout status deployment/coredns --timeout=5s
	until_ok 60 "check of DNS" dns_check_start
	until_ok 120 "DNS inside a pod" dns_check_done
	kubectl -n kube-system delete pod dns-check --grace-period=0 --force >/dev/null 2>&1
	log "DNS answers inside pods"
}

node_ready() { [[ $(kubectl get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; }

apply_manifests() {
	sed "s|@IMAGE@|$(image_of coredns)|; s|@DNS_IP@|$DNS_IP|" "$SRC/manifests/coredns.yaml" | kubectl apply -f - &&
		kubectl apply -f "$SRC/manifests/pull-policy.yaml" || return 1
	if [[ $CLUSTER_CPU_REQUEST == keep ]]; then
		kubectl delete --ignore-not-found -f "$SRC/manifests/cpu-requests.yaml"
	else
		sed "s|@CPU@|$CLUSTER_CPU_REQUEST|" "$SRC/manifests/cpu-requests.yaml" | kubectl apply -f -
	fi
}

dns_check_start() {
	kubectl -n kube-system delete pod dns-check --ignore-not-found --grace-period=0 --force &&
		kubectl -n kube-system run dns-check --image="$(image_of probe)" --restart=Never -- \
			resolve kubernetes.default.svc.cluster.local kubernetes.default
}

dns_check_done() {
	case $(kubectl -n kube-system get pod dns-check -o 'jsonpath={.status.phase}') in
	Succeeded) return 0 ;;
	Failed) kubectl -n kube-system logs dns-check && dns_check_start ;;
	esac
	return 1
}
