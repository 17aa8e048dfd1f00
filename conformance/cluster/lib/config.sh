# Certificates, kubeconfigs and the configuration files of the daemons, made once per cluster. Sourced by ../cluster.

certificate() { # CA NAME SUBJECT USAGE [SUBJECT_ALT_NAMES]
	local ca=$1 name=$2 subject=$3 usage=$4 san=${5:-}
	openssl req -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
		-keyout "$name.key" -out "$name.csr"
	{
		echo "basicConstraints=CA:FALSE"
		echo "keyUsage=digitalSignature,keyEncipherment"
		echo "extendedKeyUsage=$usage"
		[[ -z $san ]] || echo "subjectAltName=$san"
	} >"$name.ext"
	openssl x509 -req -in "$name.csr" -CA "$ca.crt" -CAkey "$ca.key" -CAcreateserial -days 3650 \
		-extfile "$name.ext" -out "$name.crt"
	rm "$name.csr" "$name.ext"
}

kubeconfig() { # NAME FILE
	cat >"$2" <<E
apiVersion: v1
kind: Config
clusters:
- name: $NETNS
  cluster:
    server: https://$NODE_IP:6443
    certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$STATE/pki/$1.crt")
    client-key-data: $(base64 -w0 "$STATE/pki/$1.key")
contexts:
- name: $NETNS
  context: {cluster: $NETNS, user: $1}
current-context: $NETNS
E
	chmod 600 "$2"
}

make_pki() {
	local ca name
	[[ -f $STATE/pki/done ]] && return
	rm -rf "$STATE/pki"
	mkdir -m 700 "$STATE/pki"
	(
		cd "$STATE/pki"
		printf '[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyCertSign\nsubjectKeyIdentifier=hash\n' >openssl.cnf
		for ca in ca front-proxy-ca; do
			openssl req -config openssl.cnf -extensions ca -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
				-nodes -days 3650 -subj "/CN=$CLUSTER_NETNS-$ca" -keyout $ca.key -out $ca.crt
		done
		certificate ca kube-apiserver /CN=kube-apiserver serverAuth \
			"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$API_IP,IP:$NODE_IP"
		certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
		certificate front-proxy-ca front-proxy-client /CN=front-proxy-client clientAuth
		certificate ca admin /O=system:masters/CN=admin clientAuth
		certificate ca kube-controller-manager /CN=system:kube-controller-manager clientAuth
		certificate ca kube-scheduler /CN=system:kube-scheduler clientAuth
		certificate ca kube-proxy /CN=system:kube-proxy clientAuth
		certificate ca "kubelet" "/O=system:nodes/CN=system:node:$NODE" clientAuth
		certificate ca kubelet-server "/CN=$NODE" serverAuth "DNS:$NODE,IP:$NODE_IP"
		openssl genrsa -out sa.key 2048
		openssl rsa -in sa.key -pubout -out sa.pub
	) >"$STATE/log/pki.log" 2>&1 || die "the certificates could not be made; see $STATE/log/pki.log"
	for name in kube-controller-manager kube-scheduler kube-proxy kubelet; do
		kubeconfig $name "$STATE/pki/$name.kubeconfig"
	done
	kubeconfig admin "$STATE/admin.kubeconfig"
	: >"$STATE/pki/done"
}

# ---------------------------------------------------------------- configuration

make_config() {
	local pki=$STATE/pki
	mkdir -p "$STATE/net.d"
	# ptp, not bridge: all traffic between pods is routed, so that kube-proxy's
	# rules see it without the kernel's bridge filter.
	cat >"$STATE/net.d/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local",
    "ranges": [[{"subnet": "$CLUSTER_POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
E
	cat >"$STATE/containerd.toml" <<E
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(image_of pause)"
  # Lowering oom_score_adj is not permitted everywhere.
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
E
	cat >"$STATE/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
clusterDNS: ["$DNS_IP"]
clusterDomain: cluster.local
resolvConf: /dev/null
maxPods: 400
podPidsLimit: -1
serializeImagePulls: false
kubeAPIQPS: 100
kubeAPIBurst: 200
volumePluginDir: /var/lib/kubelet/volume-plugins
E
	cat >"$STATE/kube-proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $CLUSTER_PROXY_MODE
clusterCIDR: $CLUSTER_POD_CIDR
hostnameOverride: $NODE
clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig, qps: 50, burst: 100}
# These are the machine's, not this namespace's.
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
E
	printf 'nameserver %s\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n' "$DNS_IP" >"$STATE/resolv.conf"
}
