# What the user sees and what is left at the end: lines with elapsed seconds, logs, diagnosis. Sourced by ../run.

START=$EPOCHREALTIME
CHILD=''     # the command that runs at the moment
STARTED=''   # the cluster was started by this run
INSTALLED='' # the chart was installed by this run

elapsed() { local d=$((${EPOCHREALTIME/[.,]/} - ${START/[.,]/})); printf '%d' $((d / 1000000)); }
say() { printf '[%4ds] %s\n' "$(elapsed)" "$*"; }

# attended SECONDS WHAT LOGFILE COMMAND...: run it within that time, output in the log, with a sign of life each minute
attended() {
	local limit=$1 what=$2 log=$3 n=0 code=0
	shift 3
	say "$what"
	timeout --foreground --kill-after=30s "$limit" "$@" >"$log" 2>&1 </dev/null &
	CHILD=$!
	while kill -0 "$CHILD" 2>/dev/null; do
		sleep 0.2
		((++n % 300)) || say "$what: still at it; log: $log"
	done
	wait "$CHILD" || code=$?
	CHILD=''
	((code != 0)) || return 0
	((code != 124)) || say "$what: not done within $limit s"
	tail -n 20 "$log"
	say "$what: failed; log: $log"
	return "$code"
}

# results: of a test binary's -test.v lines, the stages of the set-up and the result of each test
results() {
	local line
	while IFS= read -r line; do
		case $line in
		*'Test Setup: '*) say "set-up: ${line##*Test Setup: }" ;;
		'    --- PASS: TestConformance/'* | '--- PASS: '*) say "pass  ${line##*--- PASS: }" ;;
		'    --- FAIL: TestConformance/'* | '--- FAIL: '*) say "FAIL  ${line##*--- FAIL: }" ;;
		esac
	done
}

# keep_evidence: what can no longer be asked for once the cluster is down
keep_evidence() {
	local kubectl=(timeout 30 "${IN_CLUSTER[@]}" kubectl)
	"${kubectl[@]}" -n "$NAMESPACE" logs -l app.kubernetes.io/instance="$RELEASE" --prefix --tail=-1 --max-log-requests=20 \
		>"$LOGS/controlplane.log" 2>&1 || true
	{
		"${kubectl[@]}" get pods,services,gatewayclasses,gateways -A -o wide || true
		"${kubectl[@]}" get gatewayclasses,gateways,httproutes,inferencepools -A -o yaml || true
		"${kubectl[@]}" get events -A --sort-by=.lastTimestamp || true
	} >"$LOGS/objects.txt" 2>&1
}

finish() {
	local code=$?
	trap - EXIT INT TERM
	if [[ -n $CHILD ]] && kill -TERM "$CHILD" 2>/dev/null; then
		for _ in {1..50}; do kill -0 "$CHILD" 2>/dev/null || break; sleep 0.2; done
		kill -KILL "$CHILD" 2>/dev/null || true
	fi
	[[ -z $INSTALLED ]] || keep_evidence
	if ((code != 0)); then
		if [[ -n $INSTALLED ]]; then
			echo "The control plane's last lines:"
			tail -n 15 "$LOGS/controlplane.log" | cut -c1-400 | sed 's/^/  /'
		fi
		say "logs: $LOGS"
	fi
	stop_cluster
	exit "$code"
}
