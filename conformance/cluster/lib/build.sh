# Packages, programs compiled from their Go modules, and the images that the cluster itself needs. A program is
# compiled again only when the module that pins it, or its flags, changed. Sourced by ../cluster.

stamp_of() { # MODULE_DIR WORDS...: what a program was made from
	local dir=$1
	shift
	(cd "$dir" && { printf '%s\n' "$*"; find . -type f | LC_ALL=C sort | xargs sha256sum; }) | sha256sum | cut -c1-16
}

# timed WHAT LOGFILE COMMAND...: run it, with a sign of life every 30 seconds
timed() {
	local what=$1 file=$2 t=$EPOCHREALTIME pid n=0
	shift 2
	log "$what"
	"$@" >"$file" 2>&1 </dev/null 9>&- &
	pid=$!
	trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		((++n % 150)) || log "$what: still at it"
	done
	trap - INT TERM
	wait "$pid" || { tail -n 20 "$file" >&2; die "$what: failed; see $file"; }
	log "$what: took $(printf '%.0f' "$(bc_sub "$EPOCHREALTIME" "$t")") s"
}

go_build() { # NAME MODULE_DIR PACKAGE LDFLAGS
	local name=$1 dir=$2 pkg=$3 flags="-s -w $4" stamp
	stamp=$(stamp_of "$dir" "$pkg" "$flags")
	[[ -x $BIN/$name && $(cat "$BIN/.$name.stamp" 2>/dev/null) == "$stamp" ]] && return
	command -v go >/dev/null || die "the Go toolchain is needed to build $name, and is not in PATH"
	timed "compile $name" "$CLUSTER_BUILD/log/$name.log" env -C "$dir" CGO_ENABLED=0 GOWORK=off \
		go build -mod=readonly -buildvcs=false -ldflags="$flags" -o "$BIN/$name" "$pkg"
	echo "$stamp" >"$BIN/.$name.stamp"
}

# One image for each of the programs that the cluster itself runs in pods.
make_image() { # NAME
	local name=$1 dir stamp
	stamp=$(cat "$BIN/.$name.stamp")
	[[ -f $IMAGES/$name.tar && $(cat "$IMAGES/$name.name" 2>/dev/null) == "one-node.cluster/$name:$stamp" ]] && return
	log "image $name"
	dir=$(mktemp -d)
	cp "$BIN/$name" "$dir/$name"
	"$BIN/mkimg" -name "one-node.cluster/$name:$stamp" -o "$IMAGES/$name.tar" -entrypoint "[\"/$name\"]" "$dir"
	rm -rf "$dir"
	echo "one-node.cluster/$name:$stamp" >"$IMAGES/$name.name"
}
image_of() { cat "$IMAGES/$1.name"; }

cmd_build() {
	need_root build
	lock
	local missing=() p v=() version flags
	mkdir -p "$BIN" "$IMAGES" "$CLUSTER_BUILD/log"
	for p in "${PACKAGES[@]}"; do
		[[ $(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
	done
	if ((${#missing[@]})); then
		timed "package lists" "$CLUSTER_BUILD/log/apt.log" apt-get update -q
		timed "install ${missing[*]}" "$CLUSTER_BUILD/log/apt.log" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qy --no-install-recommends "${missing[@]}"
	fi
	for p in "${TOOLS[@]}"; do go_build "$p" "$SRC/src/tools" "./$p" ""; done
	make_image pause
	make_image probe

	version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" {print $3}' "$SRC/src/kube/go.mod")
	IFS=. read -ra v <<<"${version#v}"
	flags=
	for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $p.gitVersion=$version -X $p.gitMajor=${v[0]} -X $p.gitMinor=${v[1]} -X $p.gitTreeState=clean -X $p.gitCommit="
	done
	for p in "${KUBE[@]}"; do go_build "$p" "$SRC/src/kube" "k8s.io/kubernetes/cmd/$p" "$flags"; done
	go_build coredns "$SRC/src/coredns" . ""
	make_image coredns

	if [[ ! -x $BIN/helm || $(cat "$BIN/.helm.stamp" 2>/dev/null) != "$HELM_VERSION" ]]; then
		timed "compile helm" "$CLUSTER_BUILD/log/helm.log" env GOBIN="$BIN" CGO_ENABLED=0 GOWORK=off GOFLAGS= go install \
			-ldflags="-s -w -X helm.sh/helm/v3/internal/version.version=$HELM_VERSION" \
			"helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
		echo "$HELM_VERSION" >"$BIN/.helm.stamp"
	fi
	log "build: everything is in $CLUSTER_BUILD"
}

built() {
	local p
	for p in "${TOOLS[@]}" "${KUBE[@]}" coredns; do [[ -f $BIN/.$p.stamp && -x $BIN/$p ]] || return 1; done
	for p in pause probe coredns; do [[ -f $IMAGES/$p.name ]] || return 1; done
	for p in containerd runc etcd iptables ip openssl nsenter; do command -v $p >/dev/null || return 1; done
}
