#!/usr/bin/env bats
# fscache-status: the tables, the document, Prometheus' text, and the Nagios plugin; and the three
# causes of a full disk.

setup() {
	. "$BATS_TEST_DIRNAME/fscache.bash"
	conf "$cache" 16M
	made 300
	now=$(date +%s)
	"$BIN/fscache-rescan" -c conf "$cache" >/dev/null
	read -r files bytes <<<"$(real)"
	see_all
}

# Where the first process has rights that root has not, as in some containers, it is put out of sight.
see_all() {
	program=$BIN/fscache-status
	[ "$(id -u)" != 0 ] || readlink /proc/1/fd/* >/dev/null || {
		mkdir seen
		program=$PWD/seen/fscache-status
		cat >"$program" <<-SH
			#!/bin/sh
			exec unshare -m sh -c 'mount -t tmpfs tmpfs /proc/1 && exec "\$@"' sh "$BIN/fscache-status" "\$@"
		SH
		chmod +x "$program"
	}
}
status() { json_kept "$program" -c conf "$@"; }

# says CODE TEXT ARG…: that exit code, and one line on stderr with TEXT in it.
says() {
	local code=$1 text=$2 got=0
	shift 2
	status "$@" >out 2>err || got=$?
	[ "$got" = "$code" ] && [ "$(wc -l <err)" = 1 ] && [[ "$(<err)" == "fscache-status: "*"$text"* ]] && return
	echo "exit code $got, not $code, or not one line with '$text':"
	cat err
	return 1
}

# plugin CODE TEXT ARG…: that exit code, and one line with TEXT on stdout.
plugin() {
	local code=$1 text=$2 got=0
	shift 2
	status --check "$@" >out 2>err || got=$?
	[ "$got" = "$code" ] && [ "$(wc -l <out)" = 1 ] && [[ "$(<out)" == "FSCACHE "*"$text"* ]] && return
	echo "exit code $got, not $code, or not one line with '$text':"
	cat out err
	return 1
}
# The disk of the tests is as full as it is.
DISK="--warn-disk 100 --crit-disk 100"

# log LINE…: appended to the log.
log() { printf '%s\n' "$@" >>"$cache/fscache.log"; }

# hold FILE…: somebody has them open, and they are deleted. With $NOBODY it is who gave up root, as
# Dovecot's processes do.
hold() {
	python3 - "$@" 3>&- <<-'PY' >held &
		import os, sys, time
		fds = [os.open(name, os.O_RDONLY) for name in sys.argv[1:] + sys.argv[1:2]]
		for name in sys.argv[1:]:
		    os.unlink(name)
		if os.environ.get("NOBODY"):
		    os.setgroups([])
		    os.setgid(65534)
		    os.setuid(65534)
		print("held", flush=True)
		time.sleep(600)
	PY
	holder=$!
	for _ in $(seq 200); do [ -s held ] && return; sleep 0.02; done
	return 1
}

@test "--help, --version, and the options are those of the manual page" {
	run -0 --separate-stderr "$BIN/fscache-status" --help
	[ -z "$stderr" ]
	[[ "${lines[0]}" == "Usage: fscache-status [OPTION...] [PATH...]" ]]
	LC_ALL=C grep -q '[^ -~]' <<<"$output" && false
	run -0 --separate-stderr "$BIN/fscache-status" --version
	[[ "$output" =~ ^fscache-status\ \(metacache-tools\)\ [0-9.]+$ ]]
	cat "$PROJECT/cmd/fscache-status/fscache-status.1" "$PROJECT/man/metacache-tools.7" |
		grep -oE 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u >documented
	"$BIN/fscache-status" --help | grep -oE '(^|,| ) +--[a-z-]+' | grep -oE -- '--.*' | sort -u >offered
	run -1 grep -vxFf documented offered
	status -f prometheus --scan | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' >metrics
	[ "$(wc -l <metrics)" = 16 ]
	for metric in $(<metrics); do
		grep -q "\b$metric\b" "$PROJECT/cmd/fscache-status/fscache-status.1"
	done
}

@test "tracked, real and limit together" {
	status --scan -f json >out
	jq -e --arg path "$cache" --argjson files "$files" --argjson bytes "$bytes" '.caches | length == 1 and (.[0] |
		.path == $path and .files == $files and .bytes == $bytes and .real_files == $files and
		.real_bytes == $bytes and .off_bytes == 0 and .limit == 16777216 and
		.percent == ($bytes * 100 / 16777216 | floor) and .error == null and .oversize_files == 0)' out
	jq -e '.holders == [] and .all_processes == true' out
	jq -e ".time - $now | . >= 0 and . < 60" out
	rm "$(one 5)"
	head -c 9000000 /dev/zero >>"$(one 9)"
	mkdir -p "$cache/00"
	echo foreign >"$cache/00/not an object"
	status --scan -f json >out
	jq -e --argjson files "$files" '.caches[0] | .files == $files and .real_files == $files - 1 and
		.off_bytes == .real_bytes - .bytes and .off_bytes > 8000000 and .oversize_files == 1 and
		.oversize_bytes > 9000000 and .foreign_files == 1' out
	status -f json >out
	jq -e '.caches[0] | .real_files == null and .off_bytes == null and .oversize_files == null' out
	[ "$(status -f jsonl | jq -c '.caches[0].files')" = "$files" ]
}

@test "tables" {
	status -f table --scan >out
	grep -Eq "^path +files +bytes +limit +used +real-files +real-bytes +off-bytes +oversize +foreign$" out
	grep -Eq "^$cache +300 +[0-9.]+M +16M +[0-9]+% +300 +[0-9.]+M +0 +0 +0$" out
	grep -Eq "^$cache +0 +300 +0 +0% +0 +0 +-$" out
	grep -Eq "^$cache +[0-9.]+[GMT] +[0-9.]+[GMT] +32M +0 +0$" out
	[ "$(grep -c '^$' out)" = 2 ]
	[ "$(status -f tab | sed -n 2p | cut -f 2,4,6)" = $'300\t16777216\t' ]
}

@test "hits, misses, evictions, and how many a minute" {
	sed -i '/^=/d' "$cache/fscache.log"
	name=$(sed -n 's/^+ .* //p' "$cache/fscache.log" | sed -n 1p)
	at=14
	for line in $(seq 2 41); do
		at=$((at + $(sed -n "${line}p" "$cache/fscache.log" | wc -c)))
		log "- $((now - 30)) 4096 1 $at $name"
	done
	log "! $now 900 100"
	status -f json >out
	jq -e '.caches[0] | .hits == 900 and .misses == 300 and .passed == 100 and .hit_percent == 69 and
		.evictions == 40 and .evictions_per_minute == 4 and .turnover_seconds == 3900' out
	# A checkpoint that counts more than there are lines: what the log had before is not known.
	log "= $((now - 120)) $(stat -c %s "$cache/fscache.log") 1000000 200 $at 900 300 100 4000 test"
	for line in $(seq 42 61); do
		at=$((at + $(sed -n "${line}p" "$cache/fscache.log" | wc -c)))
		log "- $((now - 3)) 4096 1 $at $name"
	done
	status -f json >out
	jq -e '.caches[0] | .evictions == 4020 and (.evictions_per_minute == 9 or .evictions_per_minute == 10)' out
	plugin 0 "OK - 1 caches" $DISK --warn-turnover 15min
	plugin 1 "WARNING - $cache: objects are evicted after " $DISK
	plugin 2 "CRITICAL - $cache: objects are evicted after " $DISK --crit-turnover 30min
	grep -Eq ' evictions_per_minute=(9|10);;;0 ' out
}

@test "a log that was written anew tells how many a minute as before" {
	name=$(sed -n 's/^+ .* //p' "$cache/fscache.log" | sed -n 1p)
	at=14
	for line in $(seq 2 101); do
		at=$((at + $(sed -n "${line}p" "$cache/fscache.log" | wc -c)))
		log "- $((now - 30)) 4096 1 $at $name"
	done
	[ "$(status -f json | jq .caches[0].evictions_per_minute)" = 10 ]
	for n in 1 2; do
		rm "$(one 3)"
		"$BIN/fscache-rescan" -c conf -f tab --field result "$cache" | grep -qx repaired
		run -1 grep '^-' "$cache/fscache.log"
		[ "$(status -f json | jq .caches[0].evictions_per_minute)" = 10 ]
	done
	exact
}

@test "deleted but open: how much, and who holds it" {
	a=$(one 11) b=$(one 12) live=$(one 13)
	held=$(find "$a" "$b" -printf '%b\n' | awk '{ n += $1 * 512 } END { print n }')
	hold "$a" "$b"
	exec 8<"$live"
	status -f json >out
	exec 8<&-
	jq -e --argjson held "$held" --argjson pid "$holder" --arg path "$cache" '
		.caches[0].deleted_open_files == 2 and .caches[0].deleted_open_bytes == $held and
		.holders == [{pid: $pid, command: "python3", path: $path, files: 2, bytes: $held}]' out
	status -f table >out
	grep -Eq "^ +$holder +python3 +$cache +2 +[0-9.]+K$" out
	# The cache may be reached by a link.
	ln -s cache link
	status -f json "$PWD/link" | jq -e '.caches[0].deleted_open_files == 2'
	plugin 0 "deleted_open=${held}B;" $DISK
	small="-o obox_fs=fscache:1M:$cache:posix:$PWD/store"
	plugin 1 "K deleted and still open; 1 caches" $DISK --warn-deleted 0 $small
	plugin 2 "K deleted and still open; 1 caches" $DISK --crit-deleted 0 $small
	# Somebody else's files of that kind are not of this cache.
	mkdir cache-2
	cp "$live" cache-2/x
	kill "$holder"
	wait "$holder" || true
	rm held
	hold cache-2/x
	[ "$(status -f json | jq .caches[0].deleted_open_files)" = 0 ]
}

# Programs and files that anybody may read.
for_nobody() {
	[ "$(id -u)" = 0 ] || skip "only root can be somebody else"
	chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	chmod -R a+rX "$cache" conf idx state
	cp -r "$BIN" bin
}
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

@test "deleted but open under mail_uid: what its processes hold is seen" {
	for_nobody
	held=$(find "$(one 11)" -printf '%b\n' | awk '{ print $1 * 512 }')
	NOBODY=1 hold "$(one 11)"
	run ! as_nobody ls "/proc/$holder/fd/"
	printf 'mail_uid = 65534\nmail_gid = 65534\n' >>conf
	status -f json >out
	jq -e --argjson held "$held" --argjson pid "$holder" '.all_processes == true and
		.caches[0].deleted_open_files == 1 and .caches[0].deleted_open_bytes == $held and
		.holders[0].pid == $pid and .holders[0].command == "python3"' out
	status -f prometheus | grep -qxF "fscache_deleted_open_bytes{path=\"$cache\"} $held"
	plugin 0 "deleted_open=${held}B;" $DISK
	# Nothing else was done as root.
	chmod 700 "$cache"
	says 77 "$cache: "
}

@test "who is not root is told that some processes were not seen" {
	for_nobody
	NOBODY=1 hold "$(one 11)"
	# Also where they are not even listed.
	for mount in true 'mount -t proc -o hidepid=2 proc /proc'; do
		fscache-status() { unshare -m sh -c "$mount && exec \"\$@\"" sh setpriv --reuid 65534 --regid 65534 --clear-groups bin/fscache-status -c conf "$@"; }
		json_kept fscache-status -f json >out
		jq -e '.all_processes == false and .caches[0].files == 300 and .holders == [] and
			.caches[0].deleted_open_files == null and .caches[0].deleted_open_bytes == null' out
		fscache-status -f prometheus >out
		run -1 grep deleted_open out
		fscache-status -f tab | grep -E "^$cache"$'\t''[0-9]+'$'\t''[0-9]+'$'\t''[0-9]+'$'\t\t$'
		fscache-status --check $DISK >out
		grep -q 'FSCACHE OK - not all processes could be looked at for deleted files; 1 caches' out
		run -1 grep deleted_open out
	done
}

@test "prometheus: promtool finds nothing to complain about" {
	status -f prometheus --scan >out
	run -0 promtool check metrics <out
	[ -z "$output" ]
	for line in "fscache_files{path=\"$cache\"} 300" "fscache_used_bytes{path=\"$cache\"} $bytes" \
		"fscache_real_bytes{path=\"$cache\"} $bytes" "fscache_limit_bytes{path=\"$cache\"} 16777216" \
		"fscache_misses_total{path=\"$cache\"} 300" "fscache_deleted_open_bytes{path=\"$cache\"} 0"; do
		grep -qxF "$line" out
	done
	status -f prometheus >out
	run -1 grep fscache_real out
	mv cache $'a"b\\c\nd'
	status -f prometheus $'a"b\\c\nd' >out
	run -0 promtool check metrics <out
	[ -z "$output" ]
	grep -qF "a\\\"b\\\\c\\nd\"} 300" out
	run -1 grep fscache_limit out
}

@test "--output: whole, readable, and the old one stays after a failure" {
	mkdir dir
	umask 077
	status -f prometheus --output dir/m.prom
	[ "$(stat -c %a dir/m.prom)" = 644 ]
	promtool check metrics <dir/m.prom
	[ "$(ls -A dir)" = m.prom ]
	sum=$(sha256sum <dir/m.prom)
	says 73 'no regular file' -f prometheus --output dir
	says 64 '--output needs -f json or -f prometheus' --output dir/m.prom
	sed -i '/obox_fs/d' conf
	says 78 'obox_fs has no fscache:' -f prometheus --output dir/m.prom
	[ "$(sha256sum <dir/m.prom)" = "$sum" ]
}

@test "--check: all is well; log and disk apart; too large; over the limit; a disk that is too small" {
	plugin 0 "OK - 1 caches, 300 files, " $DISK
	grep -qF " | files=300;;;0 bytes=${bytes}B;;;0;16777216 evictions_per_minute=0;;;0 deleted_open=0B;;;0 'disk $cache'=" out
	[ ! -s err ]
	plugin 0 "OK - 1 caches" $DISK --scan
	rm "$cache"/[0-9a-d]?/*
	plugin 0 "OK - 1 caches" $DISK
	plugin 2 "CRITICAL - $cache: " $DISK --scan
	grep -q 'between the log and the disk' out
	plugin 1 "WARNING - " $DISK --scan --crit-off 90
	plugin 0 "OK - " $DISK --scan --warn-off 90 --crit-off 90
	"$BIN/fscache-rescan" -c conf "$cache" >/dev/null
	plugin 0 "OK - 1 caches" $DISK --scan
	plugin 1 "of the limit used" $DISK -o obox_fs="fscache:100K:$cache:posix:$PWD/store"
	head -c 9000000 /dev/zero >>"$(one 9)"
	"$BIN/fscache-rescan" -c conf "$cache" >/dev/null
	plugin 1 "$cache: 1 files larger than half of the limit" $DISK --scan
	plugin 1 "and the limit wants one of 2.0P" $DISK -o obox_fs="fscache:1000T:$cache:posix:$PWD/store"
	plugin 1 "its filesystem is " --warn-disk 0 --crit-disk 100
	plugin 2 "its filesystem is " --crit-disk 0
}

@test "--check: what cannot be seen; wrong calls and settings are 3" {
	sed -i 1s/1/2/ "$cache/fscache.log"
	plugin 2 "CRITICAL - $cache: fscache.log is not of version 1" $DISK
	rm "$cache/fscache.log"
	plugin 2 "CRITICAL - $cache: there is no fscache.log" $DISK
	plugin 3 "UNKNOWN - $PWD/none: " $DISK "$PWD/none"
	plugin 3 "UNKNOWN - fscache-status failed" --nope
	plugin 3 "UNKNOWN - fscache-status failed" --warn-turnover 5
	plugin 3 "UNKNOWN - fscache-status failed" -f table
	grep -q -- '--check has a form of its own' err
	plugin 3 "UNKNOWN - fscache-status failed" -o obox_fs=
	got=0
	"$BIN/fscache-status" -c conf --check >/dev/full 2>&1 || got=$?
	[ "$got" = 3 ]
}

@test "a split cache: each directory, and a disk for all of them" {
	mkdir split
	for n in 0 1 2; do made 20 "$PWD/split/$n"; done
	mkdir split/lost+found split/empty
	conf "$PWD/split/%4Nu" 1G
	status -f json >out
	jq -e --arg dir "$PWD/split/" '[.caches[].path] == [$dir + "0", $dir + "1", $dir + "2"] and
		.caches[1].limit == 1073741824 and .caches[1].filesystem_wanted == 6442450944' out
	sed -i 1s/1/7/ split/1/fscache.log
	says 65 "$PWD/split/1: fscache.log is not of version 1" -f json
	jq -e '[.caches[].files] == [20, null, 20] and (.caches[1].error | contains("version"))' out
	status "$PWD/split/0" "$PWD/split/2" -f json | jq -e '[.caches[].limit] == [1073741824, 1073741824]'
	status "$cache" -f json | jq -e '.caches[0].limit == null'
	# Before its first use.
	conf "$PWD/none/%u"
	plugin 1 "WARNING - no cache at the path of obox_fs; 0 caches, 0 files" $DISK
}

@test "the limit is that of the directory, however it is called, and of no other" {
	made 20 "$PWD/other"
	ln -s cache link
	small="-o obox_fs=fscache:100K:$cache:posix:$PWD/store"
	for path in "$cache/" cache ./cache/. link; do
		[ "$(status $small -f json "$path" other | jq -c '[.caches[].limit]')" = '[102400,null]' ]
		plugin 1 "% of the limit used; 2 caches" $DISK $small other "$path"
	done
	cd "$cache"
	[ "$("$program" -c ../conf -f json . | jq .caches[0].limit)" = 16777216 ]
}

@test "wrong calls, paths that are none, a full stdout" {
	says 64 'unknown option' --nope
	says 64 'unknown output format "xml"' -f xml
	says 64 '--warn-turnover "5" is missing units' --warn-turnover 5
	says 64 '--warn-disk "101": expected a number from 0 to 100' --warn-disk 101
	says 66 "$PWD/none: " "$PWD/none"
	says 74 "$PWD/conf: " "$PWD/conf"
	mkdir other
	says 65 'there is no fscache.log (fscache-rescan makes it, if this is a cache)' other
	[ -z "$(ls other)" ]
	for format in flow pager tab table json jsonl prometheus; do
		got=0
		"$BIN/fscache-status" -c conf -f $format >/dev/full 2>err || got=$?
		[ "$got" = 74 ]
		[ "$(wc -l <err)" = 1 ]
	done
}

@test "nothing is written, and no store is needed" {
	rmdir store
	before=$(find "$cache" -printf '%p %s %T@ %C@\n' | sort | sha256sum)
	status --scan >/dev/null
	[ "$(find "$cache" -printf '%p %s %T@ %C@\n' | sort | sha256sum)" = "$before" ]
}
