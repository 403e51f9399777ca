# What the tests of the commands share, above the worlds of tests/fault/sweep.bash. To be sourced
# in setup().

bats_require_minimum_version 1.5.0
CLI_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$CLI_DIR/../fault/sweep.bash"
. "$CLI_DIR/../fault/sink.bash"
BIN=$(cd "$BIN" && pwd)
W=$BATS_TEST_TMPDIR/world

teardown() {
	sink_stop
	[ -z "${holder:-}" ] || kill "$holder" || true
	json_valid
}

# users N [flushed]: a world of N users, in storage where that is asked for; the first is $user.
users() {
	world_make "$W" "$1"
	mapfile -t USERS < <(printf '%s\n' "${USERS[@]}" | sort)
	user=${USERS[0]}
	home=$(find "$W/here/idx" -mindepth 2 -maxdepth 2 -name "$user")
	idx=$W/here/idx
	[ "${2:-}" != flushed ] || mc flushall -q >/dev/null
}

# says CODE TEXT PROGRAM ARG…: exactly that code, and one line on stderr with TEXT in it.
says() {
	local code=$1 text=$2 status=0
	shift 2
	mc "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = "$code" ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ] &&
		[[ "$(<"$BATS_TEST_TMPDIR/err")" == "metacache-$1: "*"$text"* ]] && return
	printf '%q ' "$@"
	echo ": exit code $status, not $code, or not one line with '$text':"
	cat "$BATS_TEST_TMPDIR/err"
	return 1
}

# fields NAMES PROGRAM ARG…: these fields of each row, as tab-separated text without a header.
fields() {
	local names=$1
	shift
	mc "$@" -f tab --field "$names" | tail -n +2
}

# Everything there is below the world, with the content of what matters: equal before and after
# means that nothing was made, changed or removed. The registry and its lock files may change.
world() {
	(cd "$W" && find . ! -name 'users.db*' ! -path './*/state/locks/*' ! -path './*/idx/.trash' \
		-printf '%y %m %p %l\n' | sort)
	tree_of "$W/here/idx"
	[ ! -d "$W/store" ] || tree_of "$W/store"
}
remember() { world >"$BATS_TEST_TMPDIR/before"; }
untouched() { world | diff "$BATS_TEST_TMPDIR/before" -; }

# What no output may hold.
no_secret() { ! grep -rF "$1" "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"; }

# hold FILE FIRST LENGTH: somebody has these bytes locked, as Dovecot does it, until the test ends
# or `release`.
hold() {
	rm -f "$BATS_TEST_TMPDIR/held" # of the one before
	python3 - "$@" 3>&- <<-'PY' >"$BATS_TEST_TMPDIR/held" &
		import fcntl, os, sys, time
		fd = os.open(sys.argv[1], os.O_RDWR)
		first, length = int(sys.argv[2]), int(sys.argv[3])
		fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
		print("held", flush=True)
		time.sleep(600)
	PY
	holder=$!
	for _ in $(seq 1500); do [ -s "$BATS_TEST_TMPDIR/held" ] && return; sleep 0.02; done
	return 1
}
release() {
	kill "$holder"
	wait "$holder" 2>/dev/null || true
	holder=
}

# hold_user_locks [F_RDLCK]: somebody works on every user: all bytes of all lock files are held; or,
# as sessions do, shared.
hold_user_locks() {
	rm -f "$BATS_TEST_TMPDIR/held"
	python3 - "$W/here/state/locks" "${1:-F_WRLCK}" 3>&- <<-'PY' >"$BATS_TEST_TMPDIR/held" &
		import fcntl, os, struct, sys, time
		for name in os.listdir(sys.argv[1]):
		    fd = os.open(os.path.join(sys.argv[1], name), os.O_RDWR)
		    fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", getattr(fcntl, sys.argv[2]), os.SEEK_SET, 0, 0, 0))
		print("held", flush=True)
		time.sleep(600)
	PY
	holder=$!
	for _ in $(seq 1500); do [ -s "$BATS_TEST_TMPDIR/held" ] && return; sleep 0.02; done
	return 1
}
