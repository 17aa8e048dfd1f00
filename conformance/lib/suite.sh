# The suites themselves, and what their reports say. Sourced by ../run.

REPORTS=()

# The longest that a whole run of a suite may take, in minutes.
limit_of() { if [[ $1 == gatewayapi ]]; then echo 40; else echo 25; fi; }

# reports SUITE: whether it writes one; ours does not
reports() { [[ -n ${SUITE_MODULE[$1]:-} && -z $TEST ]]; }

report_of() { # SUITE
	case $1-${LWEPP:-own} in
	gatewayapi-*) echo "$HERE/reports/gateway-api.yaml" ;;
	inference-own) echo "$HERE/reports/inference-extension.yaml" ;;
	inference-upstream) echo "$HERE/reports/inference-extension-lwepp.yaml" ;;
	esac
}

flags_of() { # SUITE; sets FLAGS
	local usable=${USABLE_ADDRESS:-}
	if [[ $1 == resilience ]]; then
		FLAGS=(-test.v -test.parallel 3 -test.run "${TEST:+^$TEST\$}" -test.timeout "$(limit_of "$1")m" -gateway-class="$CLASS"
			-control-plane-namespace="$NAMESPACE" -control-plane="$RELEASE" -chart="$ROOT/charts/llm-d-router-gateway"
			-standalone-chart="$ROOT/charts/llm-d-router-standalone")
		return
	fi
	FLAGS=(-test.v -test.run '^TestConformance$' -test.timeout "$(limit_of "$1")m" -gateway-class="$CLASS" -version="$VERSION")
	if [[ -n $TEST ]]; then
		FLAGS+=(-run-test="$TEST")
	else
		FLAGS+=(-report-output="$WORK/$1.yaml")
	fi
	[[ $1 == gatewayapi ]] || return 0
	[[ -z $OWN ]] || : "${usable:=10.97.200.1}"
	FLAGS+=(-conformance-profiles="$PROFILES" -unusable-address="${UNUSABLE_ADDRESS:-192.0.2.1}")
	[[ -z $usable ]] || FLAGS+=(-usable-address="$usable")
}

# run_suite SUITE: succeeds when the suite does, which is more than its report tells
run_suite() {
	local suite=$1 log=$LOGS/$1.log code=0 watcher
	flags_of "$suite"
	rm -f "$WORK/$suite.yaml"
	say "run the suite $suite; log: $log"
	: >"$log"
	timeout --foreground --kill-after=60s "$(($(limit_of "$suite") + 2))m" \
		"${IN_CLUSTER[@]}" "$WORK/bin/$suite.test" "${FLAGS[@]}" >"$log" 2>&1 </dev/null &
	CHILD=$!
	results < <(tail -n +1 -f --pid="$CHILD" "$log") &
	watcher=$!
	wait "$CHILD" || code=$?
	CHILD=''
	wait "$watcher" || true
	((code != 124)) || say "the suite $suite was not done within $(limit_of "$suite") minutes"
	if [[ -f $WORK/$suite.yaml ]]; then
		install -m 0644 "$WORK/$suite.yaml" "$(report_of "$suite")"
		REPORTS+=("$(report_of "$suite")")
	elif reports "$suite"; then
		say "the suite $suite wrote no report"
		code=1
	fi
	((code == 0)) || grep -m 1 -A 12 -E '^[[:space:]]+Error Trace:|^panic:' "$log" | cut -c1-300 || true
	return "$code"
}

summarize() {
	((${#REPORTS[@]})) || return 0
	echo
	"$WORK/bin/summary" "${REPORTS[@]}"
}
