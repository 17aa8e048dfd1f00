# The cluster that the suites run on, and what is installed there. Sourced by ../run.

# claim_cluster keeps others of this script from the one-node cluster until it ends: each would stop it when it is done.
claim_cluster() {
	[[ $(id -u) == 0 ]] || die "starting a cluster needs root; or give a KUBECONFIG"
	local home=${CLUSTER_HOME:-$HOME/.cache/one-node-cluster}
	mkdir -p "$home"
	exec 9>"$home/conformance.lock"
	flock -n 9 || die "another run has the cluster of $home; wait for its end, or give this one a CLUSTER_HOME and settings of its own (conformance/cluster/README.md)"
}

start_cluster() {
	local program
	if [[ -z $OWN ]]; then
		say "using the cluster of KUBECONFIG; its images are yours to load: $IMAGE, Envoy's, and those of the suites' manifests"
		for program in kubectl helm; do command -v $program >/dev/null || die "$program is not in PATH"; done
		timeout 30 kubectl get --raw=/readyz >/dev/null || die "the cluster of KUBECONFIG does not answer"
		return
	fi
	"${IN_CLUSTER[@]}" true 2>/dev/null || STARTED=1
	attended 300 "start the cluster" "$LOGS/cluster-up.log" "$CLUSTER" up 9>&- # what stays with --keep claims nothing
}

stop_cluster() {
	[[ -z $KEEP ]] || return 0
	if [[ -n $STARTED ]]; then
		say "stop the cluster"
		timeout 120 "$CLUSTER" down 2>>"$LOGS/cluster-up.log" || say "the cluster could not be stopped; see $LOGS/cluster-up.log"
	elif [[ -n $INSTALLED ]]; then
		say "uninstall the chart"
		timeout 120 "${IN_CLUSTER[@]}" helm -n "$NAMESPACE" uninstall "$RELEASE" --wait --timeout 100s >>"$LOGS/chart.log" 2>&1 || true
		timeout 120 "${IN_CLUSTER[@]}" kubectl delete namespace "$NAMESPACE" --ignore-not-found >>"$LOGS/chart.log" 2>&1 || true
	fi
}

# names PROGRAM: the images of that program in the suites' manifests
names() {
	local suite
	for suite in "${!SUITE_MODULE[@]}"; do
		grep -rhoE --include='*.yaml' "image: *[^ ]*/$1:[^ ]*" "$(module "$suite" "${SUITE_MODULE[$suite]}")" || true
	done | awk '{print $2}' | sort -u
}

load() { attended 120 "load $1" "$LOGS/load.log" "$CLUSTER" load "$@"; }

load_images() {
	local name build=${CLUSTER_BUILD:-${CLUSTER_HOME:-$HOME/.cache/one-node-cluster}/build}
	attended 120 "load $IMAGE" "$LOGS/load.log" "$CLUSTER" exec --node -- ctr images import "$ROOT/bin/switchyard-image.tar"
	rm -rf "$WORK/envoy"
	mkdir -p "$WORK/envoy/usr/local/bin"
	cp "$ROOT/.tools/envoy" "$WORK/envoy/usr/local/bin/envoy"
	load docker.io/envoyproxy/envoy:distroless-v1.40.0 "$WORK/envoy" '["/usr/local/bin/envoy"]' --glibc --user 65532
	for name in $(names echo-basic); do load "$name" "$WORK/bin/echo-basic"; done
	for name in $(names coredns); do load "$name" "$build/bin/coredns"; done
	for name in $(names lwepp); do load_picker "$name"; done
}

# load_picker IMAGE: ours under the name of the suite's endpoint picker, or the suite's own
load_picker() {
	if [[ ${LWEPP:-} == upstream ]]; then
		load "$1" "$WORK/bin/lwepp"
		return
	fi
	rm -rf "$WORK/picker"
	mkdir -p "$WORK/picker"
	cp "$ROOT/bin/image/linux/$(go env GOARCH)/controlplane" "$WORK/picker/controlplane"
	cp "$ROOT/epp/config/examples/conformance.yaml" "$WORK/picker/conformance.yaml"
	load "$1" "$WORK/picker" '["/controlplane","epp","--config-file","/conformance.yaml"]'
}

# install_crds SUITE: those of the versions that the suite pins; it refuses to run with others
install_crds() {
	local gateway inference file files=() kubectl=(timeout 120 "${IN_CLUSTER[@]}" kubectl)
	gateway=$(module "$1" sigs.k8s.io/gateway-api)
	inference=$(module inference sigs.k8s.io/gateway-api-inference-extension)
	# Every file: the kustomization of v1.6.1 leaves one out, which would stay behind in another version.
	for file in "$gateway"/config/crd/experimental/gateway.*.yaml; do files+=(-f "$file"); done
	say "CRDs of ${gateway##*/} (experimental channel) and ${inference##*/}"
	{
		"${kubectl[@]}" apply --server-side --force-conflicts "${files[@]}" &&
			"${kubectl[@]}" apply --server-side --force-conflicts -k "$inference/config/crd" &&
			"${kubectl[@]}" wait --for=condition=Established crd --all --timeout=100s
	} >"$LOGS/crds.log" 2>&1 || { tail -n 5 "$LOGS/crds.log"; die "the CRDs could not be installed; log: $LOGS/crds.log"; }
}

install_chart() {
	local build=given
	[[ -z $OWN ]] || build=$(sha256sum "$ROOT/bin/switchyard-image.tar" | cut -c1-16)
	INSTALLED=1
	# The annotation brings new pods when the image changed and its name did not.
	attended 240 "install the chart" "$LOGS/chart.log" "${IN_CLUSTER[@]}" helm upgrade --install "$RELEASE" \
		"$ROOT/charts/llm-d-router-gateway" --namespace "$NAMESPACE" --create-namespace --wait --timeout 200s \
		--set fullnameOverride="$RELEASE" --set gatewayClass.name="$CLASS" \
		--set image.repository="${IMAGE%:*}" --set-string image.tag="${IMAGE##*:}" --set-string podAnnotations.build="$build"
	attended 90 "wait for the GatewayClass $CLASS" "$LOGS/class.log" \
		"${IN_CLUSTER[@]}" kubectl wait --for=condition=Accepted "gatewayclass/$CLASS" --timeout=80s
}
