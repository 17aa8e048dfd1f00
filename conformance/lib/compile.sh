# Everything that is made before the cluster's network is entered, from which nothing can be downloaded. Sourced by ../run.

declare -A SUITE_MODULE=(
	[gatewayapi]=sigs.k8s.io/gateway-api/conformance
	[inference]=sigs.k8s.io/gateway-api-inference-extension/conformance
)

module() { (cd "$HERE/$1" && go list -m -f '{{.Dir}}' "$2"); } # OUR_MODULE PATH: where the pinned module's files are

# has_test SUITE: whether it has the test of --run
has_test() {
	if [[ -n ${SUITE_MODULE[$1]:-} ]]; then
		grep -rqE --include='*.go' "ShortName: *\"$TEST\"" "$(module "$1" "${SUITE_MODULE[$1]}")/tests"
	else
		grep -qE "^func $TEST\(" "$HERE/$1"/*_test.go
	fi
}

# choose_suites sets SUITES.
choose_suites() {
	local suite
	SUITES=()
	for suite in gatewayapi inference resilience; do
		(cd "$HERE/$suite" && go mod download) || die "the modules of conformance/$suite could not be downloaded"
		[[ -z $ONLY || $ONLY == "$suite" ]] || continue
		[[ -z $TEST ]] || has_test "$suite" || continue
		SUITES+=("$suite")
	done
	((${#SUITES[@]})) || die "no suite has a test named $TEST"
}

go_program() { # OUR_MODULE PACKAGE NAME
	attended 1800 "compile $3" "$LOGS/compile-$3.log" \
		env -C "$HERE/$1" CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -ldflags='-s -w' -o "$WORK/bin/$3" "$2"
}

compile() {
	local suite
	mkdir -p "$WORK/bin"
	[[ -z $OWN ]] || attended 3600 "compile Kubernetes (17 minutes when nothing is cached)" "$LOGS/cluster-build.log" "$CLUSTER" build
	for suite in "${SUITES[@]}"; do
		attended 1800 "compile the suite $suite" "$LOGS/compile-$suite.log" \
			env -C "$HERE/$suite" CGO_ENABLED=0 go test -mod=readonly -c -o "$WORK/bin/$suite.test" .
	done
	go_program gatewayapi ./summary summary
	[[ -n $OWN ]] || return 0
	go_program gatewayapi "${SUITE_MODULE[gatewayapi]}/echo-basic" echo-basic
	[[ ${LWEPP:-} != upstream ]] || go_program inference sigs.k8s.io/gateway-api-inference-extension/cmd/lwepp lwepp
	attended 1800 "build the control plane's image" "$LOGS/image.log" make -C "$ROOT" --no-print-directory image tools IMAGE="$IMAGE"
}
