# A faulty S3 server below the world of sweep.bash. To be sourced after it.

SINK=$BUILD/tests/fault/s3sink

# sink_start: the server's address in $url, the store's in $STORE. No test waits for the long
# retries: one is enough to show that it happens.
sink_start() {
	local file=$BATS_TEST_TMPDIR/url
	"$SINK" --die-with-parent >"$file" 3>&- &
	sink=$!
	for _ in $(seq 1500); do [ -s "$file" ] && break; sleep 0.02; done
	url=$(cat "$file")
	sink_retries 1
}

# sink_retries N [PARAMETERS]: how the programs try from now on (for worlds made after it).
sink_retries() {
	STORE="s3:http://KEY:SECRET@${url#http://}/?bucket=bench&max_retries=$1&max_connect_retries=0${2:-}"
}

sink_stop() { [ -z "${sink:-}" ] || kill "$sink"; }

# fault RULE…: these and no others; without one, a good server.
fault() {
	{ echo clear; printf '%s\n' "$@"; } | grep . | curl -sSf -o /dev/null --data-binary @- "$url/_fault"
}
sink_clear() { curl -sSf -o /dev/null -X POST "$url/_clear"; }
sink_reset() { curl -sSf -o /dev/null -X POST "$url/_reset"; }
sink_counter() { curl -sSf "$url/_counters" | jq "$1"; }
sink_keys() { curl -sSf "$url/_dump" | jq -r '.[] | "\(.key) \(.size)"' | sort; }
