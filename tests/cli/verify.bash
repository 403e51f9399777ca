# What the tests of metacache-verify share: each drift injected, found without a change, repaired (or
# kept), and not found again. To be sourced after world.bash.

verify_setup() {
	users 2 flushed
	out=$BATS_TEST_TMPDIR/out
	stored=$(find "$W/store" -name "$user")
	# The unit that most drifts are made in.
	folder=$(find "$home/mailboxes" -mindepth 1 -maxdepth 1 | sort | head -1)
	unit=mailboxes/${folder##*/}
}

# verify CODE ARG…: that code; output as JSON in $out. One line on stderr where it is not 0, but for
# what flush warns of.
verify() {
	local code=$1 status=0
	shift
	mc verify -f json "$@" >"$out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = "$code" ] && [ "$(grep -vc ' warning ' "$BATS_TEST_TMPDIR/err")" = $((code > 0)) ] && return
	echo "verify $*: exit code $status, not $code:"
	cat "$BATS_TEST_TMPDIR/err" "$out"
	return 1
}
rows() { jq -r ".drifts[] | $1" "$out" | sort; }
rows_are() { diff <(rows "$1") <(printf '%s\n' "${@:2}" | grep . | sort); }

# All bytes but those of lock files; of the registry what it says.
everything() {
	find "$W" -type f ! -name 'users.db*' ! -path '*/state/locks/*' -print0 | sort -z | xargs -0r sha256sum
	mc list -f json
}

# found DRIFT…: just these, by looks that change nothing.
found() {
	remember
	everything >"$BATS_TEST_TMPDIR/bytes"
	verify 65 -A ${deep:-}
	rows_are '"\(.drift) \(.repaired)"' "${@/%/ false}"
	verify 65 -A --repair -n ${deep:-}
	rows_are .drift "$@"
	untouched
	everything | diff "$BATS_TEST_TMPDIR/bytes" -
}
# All is repaired, at once and for good, and what is here is in storage.
is_repaired() {
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	verify 0 -A --repair ${deep:-}
	rows_are '"\(.drift) \(.repaired) \(.error)"' "${@/%/ true null}"
	sound
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
}
sound() {
	verify 0 -A --deep
	rows_are .drift ''
	diff <(tree_of "$idx") <(storage_of)
	no_leftovers
}
# Nothing is repaired, and nothing changed by trying.
is_kept() {
	everything >"$BATS_TEST_TMPDIR/bytes"
	verify 65 -A --repair ${deep:-}
	rows_are '"\(.drift) \(.repaired)"' "${@/%/ false}"
	everything | diff "$BATS_TEST_TMPDIR/bytes" -
}

# spoil FILE OFFSET: another byte stands there.
spoil() {
	python3 - "$@" <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte ^ 0x55]))
	PY
}

# The user's folder has a base and a diff in storage.
with_diffs() {
	world_change
	mc flushall -q >/dev/null
	base=$(find "$stored/$unit" -name 'bundle.*' ! -name '*-*')
	diff=$(find "$stored/$unit" -name 'bundle.*-*')
	[ "$diff" != "${diff#"$base-"}" ]
}
# Another backend goes on with what this one flushed.
elsewhere() {
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
}
# set_state STATEMENT: of the folder's .state, which is s.
set_state() {
	python3 -c 'import json, sys; s = json.load(sys.stdin); exec(sys.argv[1]); print(json.dumps(s))' "$1" \
		<"$folder/.state" >"$folder/.state.new"
	mv "$folder/.state.new" "$folder/.state"
}
# The same in place, so that size, time and inode stay what they were the last time.
rewrite_state() {
	python3 - "$folder/.state" "$1" <<-'PY'
		import json, os, sys
		with open(sys.argv[1], "r+") as f:
		    was = os.fstat(f.fileno())
		    s = json.load(f)
		    exec(sys.argv[2])
		    f.seek(0)
		    f.write(json.dumps(s).ljust(8192))
		os.utime(sys.argv[1], ns=(was.st_atime_ns, was.st_mtime_ns))
	PY
}
sql() { python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()' "$W/here/state/users.db" "$1"; }
