# Images without a registry, made from a program or a directory and imported into containerd. Sourced by ../cluster.

# A name with a digest cannot be written in an archive, but it can be given to
# an image afterwards. The kubelet drops the tag of a name that has both.
import_image() { # FILE NAME
	local repository
	ctr -n k8s.io images import "$1" >/dev/null
	[[ $2 == *@* ]] || return 0
	repository=$(archive_name "$2")
	ctr -n k8s.io images tag --force "$repository" "${repository%:*}@${2##*@}" >/dev/null
}

archive_name() { # NAME
	local name=${1%%@*}
	if [[ ${name##*/} == *:* ]]; then echo "$name"; else echo "$name:loaded"; fi
}

# libraries ROOT FILE...: copy to ROOT the libraries that the programs need
libraries() {
	local root=$1 lib
	shift
	for lib in $(for f in "$@"; do ldd "$f" 2>/dev/null || true; done | grep -oE '(^|[[:space:]])/[^[:space:]]+' | sort -u); do
		case $lib in "$SOURCE"/*) continue ;; esac # found through a path relative to the program
		mkdir -p "$root$(dirname "$lib")"
		cp -L "$lib" "$root$lib"
	done
}

cmd_load() {
	need_root load
	[[ -x $BIN/mkimg ]] || die "build first (cluster build)"
	local args=() opts=() with=() programs=() glibc='' name entry root file size p path
	while (($#)); do
		case $1 in
		--glibc) glibc=1 ;;
		--with) with+=("${2:?}") glibc=1 && shift ;;
		--cmd | --env | --user | --workdir) opts+=("${1#-}" "${2:?}") && shift ;;
		--*) die "unknown option $1" ;;
		*) args+=("$1") ;;
		esac
		shift
	done
	((${#args[@]} == 2 || ${#args[@]} == 3)) || die "usage: cluster load IMAGE SOURCE [ENTRYPOINT_JSON] [option...]"
	name=${args[0]} SOURCE=$(realpath -e "${args[1]}") entry=${args[2]:-}
	case ${name##*/} in *:* | *@*) ;; *) die "$name has no tag" ;; esac
	lock
	mkdir -p "$PENDING"
	TMP=$(mktemp -d "$PENDING/.load.XXXXXX")
	trap 'rm -rf "$TMP"' EXIT

	if [[ -f $SOURCE ]]; then # one program
		mkdir "$TMP/files"
		cp "$SOURCE" "$TMP/files/"
		chmod 755 "$TMP/files/"*
		: "${entry:="[\"/$(basename "$SOURCE")\"]"}"
		SOURCE=$TMP/files
	fi
	[[ -n $entry ]] || die "a directory needs an ENTRYPOINT_JSON such as '[\"/server\"]'"

	# What every image gets: certificates, a few users, a place for temporary files.
	root=$TMP/base
	mkdir -p "$root"/{etc/ssl/certs,tmp,root,home/nonroot,var/tmp}
	chmod 1777 "$root/tmp" "$root/var/tmp"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nnonroot:x:65532:65532:nonroot:/home/nonroot:/bin/false\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n' >"$root/etc/group"
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
	if [[ -n $glibc ]]; then
		for p in "${with[@]}"; do
			path=$(command -v "$p") || die "this machine has no program $p"
			mkdir -p "$root/bin" "$root/usr/bin"
			cp -L "$path" "$root/bin/$p"
			ln -sf "../../bin/$p" "$root/usr/bin/$p"
		done
		for p in /lib/*-linux-gnu*/lib{m,dl,rt,pthread,resolv,nss_dns,nss_files}.so.[0-9]*; do
			[[ ! -f $p ]] || { mkdir -p "$root${p%/*}" && cp -L "$p" "$root$p"; }
		done
		mapfile -t programs < <(find "$root/bin" "$SOURCE" -type f \( -perm /111 -o -name '*.so*' \) 2>/dev/null)
		libraries "$root" /bin/sh "${programs[@]}"
	fi

	file=$TMP/image.tar
	"$BIN/mkimg" -name "$(archive_name "$name")" -o "$file" -entrypoint "$entry" "${opts[@]}" "$root" "$SOURCE"
	size="$(du -m "$file" | cut -f1) MiB"
	if find_init; then
		in_node "$SELF" __import "$file" "$name" || die "the image could not be imported"
		log "loaded $name ($size)"
	else
		path=$PENDING/$(printf '%s' "$name" | sha256sum | cut -c1-16)
		echo "$name" >"$path.name"
		mv "$file" "$path.tar"
		log "made $name ($size); the next 'cluster up' loads it"
	fi
}
