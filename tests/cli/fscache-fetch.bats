#!/usr/bin/env bats
# fscache-fetch: every exit code, the outcomes, split caches, bad input, a full stdout.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/../json.bash"
	BIN=$(cd "$BIN" && pwd)
	PROJECT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir -p store/a idx
	printf 'a mail\n' >store/a/mail
	head -c 300000 /dev/urandom >store/a/large
	conf "fscache:512k:$PWD/cache:posix:$PWD/store"
}
teardown() { json_valid; }

# conf OBOX_FS
conf() {
	cat >conf <<-END
		mail_home = $PWD/idx/%u
		obox_fs = $1
		state_dir = $PWD/state
		backend_host = here
	END
	mkdir -p state
}

fetch() { json_kept "$BIN/fscache-fetch" -c conf "$@"; }
field() { fetch -f tab --no-header --field "$@"; }

# says CODE TEXT ARG…: that exit code, and one line on stderr with TEXT in it.
says() {
	local code=$1 text=$2 status=0
	shift 2
	fetch "$@" >out 2>err || status=$?
	[ "$status" = "$code" ] && [ "$(wc -l <err)" = 1 ] && [[ "$(<err)" == "fscache-fetch: "*"$text"* ]] && return
	echo "exit code $status, not $code, or not one line with '$text':"
	cat err
	return 1
}

# What the log says, and what there is.
logged() { awk '$1 == "+" { n += $3 } $1 == "-" { n -= $3 } END { print n + 0 }' "$1/fscache.log"; }
real() { find "$1" -path "$1/??/*" -type f -printf '%b\n' | awk '{ n += $1 * 512 } END { print n + 0 }'; }

@test "--help, --version, and the options are those of the manual page" {
	run -0 --separate-stderr "$BIN/fscache-fetch" --help
	[ -z "$stderr" ]
	[[ "${lines[0]}" == "Usage: fscache-fetch [OPTION...] KEY" ]]
	for option in -O --output=FILE -u --user=USER --config=FILE --format=FORMAT; do
		[[ "$output" == *"$option"* ]]
	done
	run -0 --separate-stderr "$BIN/fscache-fetch" --version
	[[ "$output" =~ ^fscache-fetch\ \(metacache-tools\)\ [0-9.]+$ ]]
	cat "$PROJECT/cmd/fscache-fetch/fscache-fetch.1" "$PROJECT/man/metacache-tools.7" |
		grep -oE 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u >documented
	"$BIN/fscache-fetch" --help | grep -oE '(^|,| ) +--[a-z-]+' | grep -oE -- '--.*' | sort -u >offered
	run -1 grep -vxFf documented offered
}

@test "fetched, then a hit; the output is the object" {
	[ "$(field outcome a/mail)" = fetched ]
	[ "$(field outcome a/mail)" = hit ]
	fetch -O out a/mail >row
	cmp out store/a/mail
	grep -q hit row
	fetch -O - a/mail >out
	cmp out store/a/mail
	rm store/a/mail
	fetch -O out a/mail >/dev/null
	[ "$(<out)" = "a mail" ]
	[ "$(logged cache)" = "$(real cache)" ]
	[ "$(ls cache/tmp)" = "" ]
	# Each run was a process, and counted.
	[ "$(awk '$1 == "!" { n += $3 } END { print n }' cache/fscache.log)" = 4 ]
}

@test "JSON, JSON Lines and a table" {
	fetch -f json a/mail >out
	jq -e --arg cache "$PWD/cache" \
		'. == {objects: [{key: "a/mail", outcome: "fetched", size: 7, cache: $cache, reason: null}]}' out
	fetch -f jsonl a/mail >out
	jq -e '.outcome == "hit"' out
	fetch -f json a/large >out
	jq -e '.objects[0] | .outcome == "passed" and .size == 300000 and (.reason | contains("share"))' out
	fetch -f table a/mail | grep -q 'a/mail *hit'
	says 64 'unknown output format "xml"' -f xml a/mail
	says 64 'nope' --field nope a/mail
}

@test "an object that is too large, or has too long a name, passes through" {
	local key
	key=$(printf 'a%.0s' $(seq 200))/$(printf 'b%.0s' $(seq 60))
	mkdir -p "store/${key%/*}"
	echo long >"store/$key"
	for name in a/large "$key"; do
		[ "$(field outcome "$name")" = passed ]
		[ "$(field outcome "$name")" = passed ]
		fetch -O out "$name" >/dev/null
		cmp out "store/$name"
	done
	[ "$(real cache)" = 0 ]
}

@test "the limit holds, and the log is exact" {
	for n in $(seq 30); do
		head -c 50000 /dev/urandom >"store/a/$n"
		fetch -O out "a/$n" >/dev/null
		cmp out "store/a/$n"
		[ "$(real cache)" -le $((512 * 1024)) ]
		[ "$(logged cache)" = "$(real cache)" ]
	done
	[ "$(real cache)" -gt $((400 * 1024)) ]
}

@test "a cache for each user" {
	conf "fscache:512k:$PWD/split/%2Mu/%u:posix:$PWD/store"
	mkdir split
	says 64 'a user is needed' a/mail
	says 64 'user name' -u ../../etc a/mail
	[ "$(field outcome -u a@example.com a/mail)" = fetched ]
	[ "$(field outcome -u b@example.com a/mail)" = fetched ]
	[ "$(field outcome -u a@example.com a/mail)" = hit ]
	[ "$(find split -name fscache.log | wc -l)" = 2 ]
	[[ "$(field cache -u a@example.com a/mail)" == "$PWD/split/"??/a@example.com ]]
}

@test "no such object is 66, a hostile key 64; nothing is made" {
	says 66 'no such object in posix' a/none
	for key in '' .. ../conf /etc/passwd a/../../conf a//mail a/ $'a\nb' $'\xff' ./a; do
		says 64 'the object name' "$key"
	done
	[ "$(find cache -type f | wc -l)" = 0 ]
	says 64 'a KEY is needed'
	says 64 'one argument too many' a/mail b
	says 64 'unknown option' --nope a/mail
}

@test "settings that are missing or wrong are 78" {
	conf ''
	says 78 'obox_fs is not set' a/mail
	conf "posix:$PWD/store"
	says 78 'has no fscache:' a/mail
	conf "fscache:512k:relative:posix:$PWD/store"
	says 78 'relative' a/mail
	conf "fscache:big:$PWD/cache:posix:$PWD/store"
	says 78 'big' a/mail
	conf "fscache:512k:$PWD/cache:nope:$PWD/store"
	says 78 'nope' a/mail
}

@test "a store that fails: its error, and no temporary" {
	conf "fscache:512k:$PWD/cache:fault:get@*=unavailable:posix:$PWD/store"
	says 69 'a/mail' a/mail
	conf "fscache:512k:$PWD/cache:fault:get@*=truncate:posix:$PWD/store"
	says 65 'a/mail' a/mail
	[ "$(find cache -type f | wc -l)" = 0 ]
	conf "fscache:512k:$PWD/cache:posix:$PWD/gone"
	says 69 'gone' a/mail
}

@test "a hit needs no store" {
	fetch a/mail >/dev/null
	conf "fscache:512k:$PWD/cache:fault:get@*=unavailable:posix:$PWD/store"
	[ "$(field outcome a/mail)" = hit ]
}

@test "a log of another version: the object, and 65" {
	mkdir cache
	echo 'fscache.log 2' >cache/fscache.log
	says 65 'fscache.log is not of version 1 (remove it, then run fscache-rescan)' -O object a/mail
	cmp object store/a/mail
	grep -q passed out
	[ "$(<cache/fscache.log)" = 'fscache.log 2' ]
	[ "$(real cache)" = 0 ]
}

@test "a cache that is no directory, a link in it: the object all the same" {
	echo text >cache
	says 74 'Not a directory' -O object a/mail
	cmp object store/a/mail
	rm cache
	mkdir elsewhere
	mkdir cache
	ln -s ../elsewhere cache/tmp
	says 74 '' -O object a/mail
	cmp object store/a/mail
	[ -z "$(ls elsewhere)" ]
}

@test "an output that cannot be written" {
	says 73 'missing/out: open: No such file' -O missing/out a/mail
	run -73 --separate-stderr bash -c "'$BIN/fscache-fetch' -c conf -O /dev/full a/mail"
	[[ "$stderr" == "fscache-fetch: /dev/full: "*"No space left on device"* ]]
	run -74 --separate-stderr bash -c "'$BIN/fscache-fetch' -c conf a/mail >/dev/full"
	run -74 --separate-stderr bash -c "'$BIN/fscache-fetch' -c conf -O - a/mail >/dev/full"
	[ "${#stderr_lines[@]}" -ge 1 ]
}
