# What the tests of the mail cache's commands share. To be sourced in setup().

bats_require_minimum_version 1.5.0
. "$(dirname "${BASH_SOURCE[0]}")/../json.bash"
PROJECT=$(cd "$TESTS_DIR/.." && pwd)
BIN=$(cd "$BIN" && pwd)
TOOLS=$(cd "$PROJECT" && cd "${BUILD:-build}" && pwd)/tests
cd "$BATS_TEST_TMPDIR" || return 1
cache=$PWD/cache

teardown() {
	[ -z "${holder:-}" ] || kill "$holder" || true
	json_valid
}

# conf [FSCACHE PATH [SIZE]]
conf() {
	mkdir -p idx store state
	cat >conf <<-END
		mail_home = $PWD/idx/%u
		obox_fs = fscache:${2:-512M}:${1:-$cache}:posix:$PWD/store
		state_dir = $PWD/state
		backend_host = here
	END
}

# made FILES [DIRECTORY]: a cache with so many objects.
made() { "$TOOLS/bench/gencache" "${2:-$cache}" "$1" >/dev/null; }

objects() { find "${1:-$cache}" -regextype egrep -regex '.*/[0-9a-f]{2}/[^/]*' -type f "${@:2}"; }

# one N [DIRECTORY]: the N-th of its objects.
one() { objects "${2:-$cache}" | sort | sed -n "$1p"; }

# What is there: "files bytes".
real() { objects "${1:-$cache}" -printf '%b\n' | awk '{ n += $1 * 512 } END { print NR, n + 0 }'; }

# What the log says, read as fscache(7) tells it: the last valid checkpoint, and what follows it.
logged() {
	python3 - "${1:-$cache}/fscache.log" <<-'PY'
		import sys
		data = open(sys.argv[1], "rb").read()
		assert data.startswith(b"fscache.log 1\n")
		lines, at = [], 0
		for line in data[:data.rindex(b"\n") + 1].splitlines(True):
		    lines.append((at, line.decode("ascii", "replace").rstrip("\n").split(" ")))
		    at += len(line)
		start = total = files = 0
		for at, field in lines:
		    if field[0] == "=" and 14 <= int(field[5]) <= int(field[2]) <= at:
		        start, total, files = int(field[2]), int(field[3]), int(field[4])
		for at, field in lines:
		    if at >= max(start, 14) and field[0] in "+-":
		        sign = 1 if field[0] == "+" else -1
		        total += sign * int(field[2])
		        files += sign
		print(files, total)
	PY
}

exact() { [ "$(logged "$@")" = "$(real "$@")" ]; }
