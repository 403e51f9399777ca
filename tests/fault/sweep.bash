# A small world for sweeps: a user with a real-looking tree, a posix store, a second
# backend that shows what storage holds. To be sourced.

FAULT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT_DIR=$(cd "$FAULT_DIR/../.." && pwd)
BUILD=${BUILD:-$PROJECT_DIR/build}
BIN=${BIN:-$BUILD/bin}
. "$PROJECT_DIR/tests/json.bash"
KILLAT=$BUILD/tests/fault/killat
GENTREE=$BUILD/tests/bench/gentree

# world_conf DIR: settings of a backend whose files are all in DIR; the store is shared.
# STORE is its URL, where it is not a folder of the world.
world_conf() {
	mkdir -p "$1/idx" "$1/state"
	cat >"$1/conf" <<-CONF
		mail_home = $1/idx/%2Mu/%u
		obox_index_fs = ${STORE:-posix:$WORLD/store}
		state_dir = $1/state
		backend_host = ${1##*/}
		metacache_close_delay = 0
		metacache_diff_min_size = 0
		metacache_max_parallel_requests = 2
	CONF
}

# world_make DIR [USERS]: backend `here`, users (1) of two folders each, nothing in storage.
# What only the first run on a machine makes (lock files, the registry) is there.
world_make() {
	WORLD=$1
	rm -rf "$WORLD"
	mkdir -p "$WORLD/store"
	world_conf "$WORLD/here"
	"$GENTREE" "$WORLD/here/idx" "${2:-1}" 2 --small >/dev/null
	read -ra USERS <<<"$(find "$WORLD/here/idx" -mindepth 2 -maxdepth 2 -printf '%f ')"
	mc rescan -q >/dev/null
}

mc() {
	local program=$1
	shift
	json_kept "$BIN/metacache-$program" -c "$WORLD/here/conf" "$@"
}

# other_boot SCRIPT: a piece of bash in another boot than the one that runs: with a /proc of its own.
# `mc` is the programs.
other_boot() {
	export BIN WORLD
	unshare -m -p -f --mount-proc bash -ec 'mc() { "$BIN/metacache-$1" -q -c "$WORLD/here/conf" "${@:2}" >/dev/null; }
		'"$1"
}

# world_crash: all of it was uploaded and then changed in a boot that crashed. Another one runs.
world_crash() {
	other_boot 'mc boot start; mc flushall'
	world_change
	mc boot start -q >/dev/null
}

# world_change [BACKEND]: something changes in every unit, as Dovecot would do it: logs grow, an
# index is replaced.
world_change() {
	local log backend=${1:-here}
	while read -r log; do
		echo changed >>"$log"
	done < <(find "$WORLD/$backend/idx" -name '*.index.log')
	while read -r log; do
		{ cat "$log"; echo new; } >"$log.new" && mv "$log.new" "$log"
	done < <(find "$WORLD/$backend/idx" -name 'dovecot.index')
}

# world_with_diffs DIR: world_make, and of each unit a base and a diff in storage.
world_with_diffs() {
	world_make "$1"
	mc flushall -q >/dev/null
	world_change
	mc flushall -q >/dev/null
}

# The files that matter below a root, with their content, without what is ours.
tree_of() {
	(cd "$1" && find . -path ./.trash -prune -o -type f ! -name '.state*' ! -name '.*.tmp' -print0 | sort -z |
		xargs -0r sha256sum)
}

# What another backend would get from storage.
storage_of() {
	local user
	rm -rf "$WORLD/there"
	world_conf "$WORLD/there"
	for user in "${USERS[@]}"; do
		"$BIN/metacache-refresh" -q -c "$WORLD/there/conf" -u "$user" >/dev/null || return 1
	done
	tree_of "$WORLD/there/idx"
}

# Compared by content with what the test noted.
here_is_whole() { diff <(tree_of "$WORLD/here/idx") "$BATS_TEST_TMPDIR/whole"; }
stored_is_whole() { diff <(storage_of) "$BATS_TEST_TMPDIR/whole"; }

# Every line of A is in one of the other files.
only_from() { ! grep -vxFf <(cat "${@:2}") "$1"; }
same_count() { [ "$(wc -l <"$1")" = "$(wc -l <"$2")" ]; }

bundles() { find "$WORLD/store" -type f -name 'bundle.*' | wc -l; }
# Of each unit a base, and at most one diff, which is on it.
storage_is_tidy() {
	local diff
	[ "$(find "$WORLD/store" -type f -name 'bundle.*' ! -name '*-*' | wc -l)" = "$(units)" ] &&
		[ -z "$(find "$WORLD/store" -type f -name 'bundle.*-*' -printf '%h\n' | sort | uniq -d)" ] &&
		find "$WORLD/store" -type f -name 'bundle.*-*' | while read -r diff; do
			[ -e "${diff%-*}" ] || return 1
		done
}
units() { find "$WORLD/here/idx" -name 'dovecot*.index.log' ! -path '*/.trash/*' | wc -l; }

# Nothing is left over on the way in or out.
no_leftovers() {
	# What is spare waits for a full disk.
	[ -z "$(find "$WORLD/here/idx/.trash" -mindepth 1 ! -path '*/.trash/spare*' 2>/dev/null)" ] || {
		find "$WORLD/here/idx/.trash" >&2
		return 1
	}
}

# sweep COMMAND...: for every call that changes something: `prepare` the world anew, kill the command
# before that call (the last one: after it too), check `promises`, run it again, check `finished`.
# The world is made, not copied: a copy has other inodes, which is a change.
sweep() {
	local calls n when status
	prepare
	calls=$("$KILLAT" count --output "$BATS_TEST_TMPDIR/calls" "$@" 2>/dev/null)
	[ "$calls" -gt 5 ]
	finished || return 1
	for n in $(seq "$((calls + 1))"); do
		prepare
		status=0 when=''
		((n <= calls)) || { n=$calls when=--after; }
		# With threads a run may have fewer calls than another: then it just ends.
		"$KILLAT" at "$n" $when --output "$BATS_TEST_TMPDIR/killed" "$@" >/dev/null 2>&1 || status=$?
		promises || {
			echo "promise broken: killed at call $n $when: $(cat "$BATS_TEST_TMPDIR/killed")"
			return 1
		}
		"$@" >/dev/null 2>"$BATS_TEST_TMPDIR/again" && finished || {
			echo "not finished: killed at call $n $when ($status): $(cat "$BATS_TEST_TMPDIR/killed")"
			cat "$BATS_TEST_TMPDIR/again"
			return 1
		}
	done
}
