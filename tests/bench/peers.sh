#!/bin/bash
# How long others take to put a tree of index homes into object storage.
#
#     peers.sh [-n RUNS] [-p "PEER…"] [-s "SINK OPTIONS"] TREE
#
# Each peer uploads TREE to a fresh s3sink, RUNS times (5), in turns, so that what
# disturbs the machine disturbs them alike. Prints a line a peer, tab separated: name,
# median, fastest and slowest seconds, PUT and LIST requests of one run. The peers:
# barepipe, rclone, restic, shell. A bench of our own program may add one: a function
# peer_NAME in the file that PEERS_MORE names, which uploads $tree to $url/bench.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && cd "${BUILD:-build}" && pwd)
runs=5
peers="barepipe rclone restic shell"
sink_options="--drop-bodies"
while getopts n:p:s: option; do
	case $option in
	n) runs=$OPTARG ;;
	p) peers=$OPTARG ;;
	s) sink_options=$OPTARG ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# -ne 1 ] || [ ! -d "$1" ] || [[ ! $runs =~ ^[1-9][0-9]*$ ]]; then
	sed -n '4s/^# *//p' "$0" >&2
	exit 64
fi
tree=$(cd "$1" && pwd)

scratch=$(mktemp -d)
sink=
cleanup() {
	[ -z "$sink" ] || kill "$sink" 2>/dev/null || true
	rm -rf "$scratch"
}
trap cleanup EXIT

# Nothing of the caller's own set-up may slow a peer down or send it elsewhere.
unset AWS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN http_proxy https_proxy all_proxy \
	HTTP_PROXY HTTPS_PROXY ALL_PROXY
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench
export RCLONE_CONFIG=$scratch/rclone.conf RESTIC_PASSWORD=bench
: >"$RCLONE_CONFIG"

start_sink() {
	# shellcheck disable=SC2086
	"$build/tests/fault/s3sink" --die-with-parent $sink_options >"$scratch/url" &
	sink=$!
	for _ in $(seq 200); do
		[ -s "$scratch/url" ] && break
		kill -0 "$sink"
		sleep 0.02
	done
	url=$(cat "$scratch/url")
	[ -n "$url" ]
}

stop_sink() {
	kill "$sink"
	wait "$sink" 2>/dev/null || true
	sink=
	: >"$scratch/url"
}

# What comes before the clock starts.
prepare_restic() {
	rm -rf "$scratch/cache"
	restic -q --cache-dir "$scratch/cache" -r "s3:$url/bench/restic" init >/dev/null
}

peer_barepipe() {
	"$build/tests/bench/barepipe" "$tree" "$url/bench" >/dev/null
}

peer_rclone() {
	rclone copy --transfers 10 --retries 1 --s3-provider Other --s3-endpoint "$url" \
		--s3-env-auth --s3-force-path-style --s3-no-check-bucket "$tree" :s3:bench/rclone
}

peer_restic() {
	restic -q --cache-dir "$scratch/cache" -r "s3:$url/bench/restic" backup "$tree"
}

peer_shell() {
	# shellcheck disable=SC2016
	(cd "$tree" && find . -name dovecot.index.log -printf '%h\0' -o \
		-name dovecot.list.index.log -printf '%h\0') |
		url=$url tree=$tree xargs -0 -P 10 -n 1 bash -o pipefail -c '
			tar -C "$tree/$1" --exclude=./mailboxes -c . | zstd -q -3 |
				curl -sSf -o /dev/null -T - "$url/bench/shell/$1/idx/bundle"' upload
}

# shellcheck source=/dev/null
[ -z "${PEERS_MORE:-}" ] || . "$PEERS_MORE"

# One run: its seconds to $scratch/PEER, its counters to $scratch/PEER.counters.
run_once() {
	local peer=$1 begin end
	start_sink
	if declare -F "prepare_$peer" >/dev/null; then
		"prepare_$peer"
		curl -sS -X POST "$url/_reset"
	fi
	begin=$EPOCHREALTIME
	"peer_$peer"
	end=$EPOCHREALTIME
	awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }' >>"$scratch/$peer"
	curl -sS "$url/_counters" >"$scratch/$peer.counters"
	stop_sink
}

for _ in $(seq "$runs"); do
	for peer in $peers; do
		run_once "$peer"
	done
done

printf 'peer\tmedian_s\tfastest_s\tslowest_s\tputs\tlists\n'
for peer in $peers; do
	sort -n "$scratch/$peer" | awk -v peer="$peer" \
		-v requests="$(jq -r '"\(.put.requests)\t\(.list.requests)"' "$scratch/$peer.counters")" '
		{ s[NR] = $1 }
		END {
			m = NR % 2 ? s[(NR + 1) / 2] : (s[NR / 2] + s[NR / 2 + 1]) / 2
			printf "%s\t%.3f\t%.3f\t%.3f\t%s\n", peer, m, s[1], s[NR], requests
		}'
done
