#!/usr/bin/env bats
# fscache-rescan: what was wrong is said and repaired; what is not ours is left alone.

setup() {
	. "$BATS_TEST_DIRNAME/fscache.bash"
	conf
	made 300
}

rescan() { json_kept "$BIN/fscache-rescan" -c conf "$@"; }
field() { rescan "$cache" -f tab --no-header --field "$@"; }

# says CODE TEXT ARG…: that exit code, and one line on stderr with TEXT in it.
says() {
	local code=$1 text=$2 status=0
	shift 2
	rescan "$@" >out 2>err || status=$?
	[ "$status" = "$code" ] && [ "$(wc -l <err)" = 1 ] && [[ "$(<err)" == "fscache-rescan: "*"$text"* ]] && return
	echo "exit code $status, not $code, or not one line with '$text':"
	cat err
	return 1
}

@test "--help, --version, and the options are those of the manual page" {
	run -0 --separate-stderr "$BIN/fscache-rescan" --help
	[ -z "$stderr" ]
	[[ "${lines[0]}" == "Usage: fscache-rescan [OPTION...] [PATH] [MAX_AGE]" ]]
	[[ "$output" == *--all* ]]
	run -0 --separate-stderr "$BIN/fscache-rescan" --version
	[[ "$output" =~ ^fscache-rescan\ \(metacache-tools\)\ [0-9.]+$ ]]
	cat "$PROJECT/cmd/fscache-rescan/fscache-rescan.1" "$PROJECT/man/metacache-tools.7" |
		grep -oE 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u >documented
	"$BIN/fscache-rescan" --help | grep -oE '(^|,| ) +--[a-z-]+' | grep -oE -- '--.*' | sort -u >offered
	run -1 grep -vxFf documented offered
	# Each field is described.
	rescan "$cache" -f json | jq -r '.rescans[0] | keys[]' >fields
	for field in $(<fields); do
		grep -qE "^\.It Cm .*\b$field\b" "$PROJECT/cmd/fscache-rescan/fscache-rescan.1"
	done
}

@test "a right log is right, and stays so" {
	before=$(real)
	run -0 --separate-stderr rescan "$cache"
	[ -z "$stderr" ]
	rescan "$cache" -f json >out
	jq -e --arg path "$cache" '.rescans | length == 1 and (.[0] | .path == $path and .result == "right" and
		.off_bytes == 0 and .why == null and .files == 300 and .tracked_files == 300 and .log == "whole")' out
	[ "$(jq -r '.rescans[0] | "\(.files) \(.bytes)"' out)" = "$before" ]
	exact
	[ "$(tail -n 1 "$cache/fscache.log" | cut -d' ' -f1,11)" = "= rescan" ]
}

@test "removed by hand, put there by hand, changed, cut short: said and repaired" {
	rm "$(one 5)" "$(one 6)" "$(one 7)"
	copy=$(one 10)
	cp "$copy" spare
	mv spare "$copy" # another inode: one is missing, and one is not in the log
	head -c 100000 /dev/zero >>"$(one 20)"
	rescan "$cache" -f json >out
	jq -e '.rescans[0] | .result == "repaired" and .missing_files == 4 and .unlogged_files == 1 and
		.resized_files == 1 and .resized_bytes > 90000 and .damaged_lines == 0 and .files == 297 and
		.off_bytes == .unlogged_bytes - .missing_bytes + .resized_bytes - .miscounted_bytes and
		(.why | contains("4 files (") and contains("missing on disk") and contains("missing from the log"))' out
	exact
	[ "$(field result)" = right ]
	# Within a line, at its end, all of it.
	truncate -s -200 "$cache/fscache.log"
	[ "$(field log)" = torn ]
	truncate -s 14 "$cache/fscache.log"
	[ "$(field result,unlogged_files)" = $'repaired\t297' ]
	exact
	rm "$cache/fscache.log"
	[ "$(field log,result,files)" = $'lost\trepaired\t297' ]
	exact
	[ "$(field result)" = right ]
}

@test "a table says it in words, and only what matters" {
	rm "$(one 1)"
	rescan "$cache" -f table >out
	[ "$(awk 'NR == 1 { print NF }' out)" = 5 ]
	grep -Eq "^$cache +299 +[0-9.]+M +repaired +1 files \([0-9.]+K\) missing on disk$" out
	rescan "$cache" -f table --field log | grep -qx whole
	rescan "$cache" -f flow | grep -q 'result=right off_bytes=0'
}

@test "MAX_AGE deletes what is older, and nothing that is no object before" {
	touch -d '3 days ago' "$(one 1)" "$(one 2)" "$(one 3)"
	mkdir -p "$cache/00"
	echo foreign >"$cache/00/not an object"
	echo other >"$cache/README"
	touch -d '3 days ago' "$cache/00/not an object" "$cache/README"
	rescan "$cache" 4d -f json 2>err >out
	jq -e '.rescans[0] | .expired_files == 0 and .foreign_files == 1 and .foreign_bytes > 0 and .strange == 1 and
		.result == "right"' out
	grep -q 'fscache_foreign_entry .*path="00/not an object"' err
	grep -q 'fscache_foreign_entry .*path=README' err
	rescan "$cache" 2days -f json 2>err >out
	jq -e '.rescans[0] | .expired_files == 4 and .result == "right" and .files == 297' out
	exact
	[ ! -e "$cache/00/not an object" ]
	[ -e "$cache/README" ]
}

@test "many foreign files: some are named, all are counted" {
	mkdir -p "$cache/00"
	for n in $(seq 100); do : >"$cache/00/not an object $n"; done
	rescan "$cache" -f tab --no-header --field foreign_files >out 2>err
	[ "$(<out)" = 100 ]
	[ "$(wc -l <err)" = 20 ]
	rescan -q "$cache" >out 2>err
	[ ! -s err ]
}

@test "ages and arguments that are none are 64" {
	before=$(sha256sum "$cache/fscache.log")
	for age in 0 0s 10 x 1y -1d 99999d 522weeks 999999999999999999999s ''; do
		says 64 '' "$cache" "$age"
	done
	says 64 'MAX_AGE "0" is not between 1 s and ten years' "$cache" 0
	says 64 'MAX_AGE "10" is missing units' "$cache" 10
	says 64 'which directory? PATH or --all'
	says 64 'one argument too many: "b"' "$cache" 1d b
	says 64 'one argument too many: "1d"' --all 1d 1d
	says 64 'MAX_AGE "'"$cache"'"' --all "$cache"
	says 64 'unknown option' --nope
	says 64 'unknown output format "xml"' "$cache" -f xml
	says 64 'no such field: "nope"' "$cache" --field nope
	[ "$(sha256sum "$cache/fscache.log")" = "$before" ]
}

@test "a path that is no cache: 65 or 66, and nothing is made" {
	mkdir empty objects file
	says 65 'this is no fscache' "$PWD/empty"
	for n in $(seq 16 40); do
		mkdir "objects/$n"
		echo precious >"objects/$n/0123456789abcdef0123456789abcdef012345"
	done
	find objects -exec touch -d '1 year ago' {} +
	says 65 'this is no fscache' "$PWD/objects" 1d
	[ "$(find objects -type f | wc -l)" = 25 ]
	says 66 'No such file' "$PWD/none"
	echo x >file/x
	says 74 'Not a directory' "$PWD/file/x"
	[ -z "$(ls empty)" ]
	rescan "$PWD/empty" -f json >out 2>/dev/null || true
	jq -e --arg path "$PWD/empty" '.rescans | length == 1 and (.[0] | .path == $path and .result == "failed" and
		.files == 0 and .error == "this is no fscache: there is no fscache.log, and no object")' out
	# A log without a line says of nothing what it is.
	: >objects/fscache.log
	says 65 'what is in the folders are no cached objects' "$PWD/objects" 1d
	[ "$(find objects -type f -size +0 | wc -l)" = 25 ]
}

@test "a cache that was emptied by hand is one, and nothing to complain about" {
	for left in '' 'fscache.l' 'fscache.log 1'$'\n'; do
		rm "$cache"/??/*
		printf %s "$left" >"$cache/fscache.log"
		rescan --all -f json >out 2>err
		jq -e --arg path "$cache" '.rescans | length == 1 and (.[0] | .path == $path and .files == 0)' out
		[ ! -s err ]
		[ "$(field result,files)" = $'right\t0' ]
		[ "$(logged)" = "0 0" ]
		made 5
		rescan "$cache" >/dev/null
		exact
	done
	# Without its log it has to be used again first.
	find "$cache" -type f -delete
	rescan --all -f json | jq -e '.rescans == []'
	says 65 'this is no fscache: there is no fscache.log, and no object' "$cache"
	[ ! -e "$cache/fscache.log" ]
}

@test "a log of another version is left alone: 65, and what to do" {
	sed -i 1s/1/2/ "$cache/fscache.log"
	before=$(sha256sum "$cache/fscache.log")
	says 65 'fscache.log is not of version 1 (remove it, then run fscache-rescan)' "$cache" 1s
	[ "$(sha256sum "$cache/fscache.log")" = "$before" ]
	[ "$(real | cut -d' ' -f1)" = 300 ]
	rm "$cache/fscache.log"
	rescan "$cache" >/dev/null
	exact
}

@test "a log that is a link, or a directory: refused" {
	mv "$cache/fscache.log" elsewhere
	ln -s ../elsewhere "$cache/fscache.log"
	before=$(sha256sum elsewhere)
	says 74 'fscache.log' "$cache"
	[ "$(sha256sum elsewhere)" = "$before" ]
	rm "$cache/fscache.log"
	mkdir "$cache/fscache.log"
	run ! rescan "$cache"
	[ -d "$cache/fscache.log" ]
}

@test "what cannot be looked at: 77, and the log stays" {
	[ "$(id -u)" = 0 ] || skip "only root can be somebody else"
	chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	chmod -R a+rX "$cache" conf idx state
	cp -r "$BIN" bin
	rm "$(one 3)"
	chmod 666 "$cache/fscache.log"
	chmod 700 "$cache/3c"
	before=$(sha256sum "$cache/fscache.log")
	for folder in 3c 3c-x; do
		status=0
		setpriv --reuid 65534 --regid 65534 --clear-groups bin/fscache-rescan -c conf "$cache" >out 2>err || status=$?
		[ "$status" = 77 ]
		grep -q 'cannot look at 3c' err
		[ "$(wc -l <err)" = 1 ]
		chmod 744 "$cache/3c" # its names can be read, and nothing more
	done
	[ "$(sha256sum "$cache/fscache.log")" = "$before" ]
	rescan "$cache" >/dev/null
	exact
}

@test "the log stays its owner's, whoever rescans" {
	[ "$(id -u)" = 0 ] || skip "only root can be somebody else"
	chown -R 65534:65533 "$cache"
	chmod 640 "$cache/fscache.log"
	rm "$(one 3)"
	[ "$(field result)" = repaired ]
	[ "$(stat -c '%u %g %a' "$cache/fscache.log")" = "65534 65533 640" ]
	rm "$cache/fscache.log"
	[ "$(field result)" = repaired ]
	[ "$(stat -c '%u %g' "$cache/fscache.log")" = "65534 65533" ]
}

@test "links and other filesystems are named and never entered" {
	mkdir outside
	folder=$(dirname "$(one 100)")
	touch -d '1 year ago' "$folder"/*
	mv "$folder" outside/
	ln -s "$PWD/outside/${folder##*/}" "$folder"
	rescan "$cache" 1d -f json >out 2>err
	jq -e '.rescans[0] | .expired_files == 0 and .strange == 1' out
	[ -n "$(ls "outside/${folder##*/}")" ]
	exact
	[ "$(id -u)" = 0 ] || return 0
	rm "$folder"
	mkdir "$folder"
	mount --bind "$PWD/outside/${folder##*/}" "$folder"
	mount -t tmpfs tmpfs "$folder"
	status=0
	rescan "$cache" -f json >out 2>err || status=$?
	umount "$folder"
	umount "$folder"
	[ "$status" = 0 ]
	grep -q 'another filesystem' err
}

@test "somebody has the log, or rescans: 75" {
	python3 - "$cache/fscache.log" 3>&- <<-'PY' >held &
		import fcntl, os, struct, sys, time
		fd = os.open(sys.argv[1], os.O_RDWR)
		fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1, 1, 0))
		print("held", flush=True)
		time.sleep(600)
	PY
	holder=$!
	for _ in $(seq 200); do [ -s held ] && break; sleep 0.02; done
	says 75 'another rescan is running' "$cache"
	kill "$holder"
	wait "$holder" || true
	holder=
	rescan "$cache" >/dev/null
}

@test "--all: each directory of a split cache, and only those" {
	mkdir split split/lost+found
	conf "$PWD/split/x%4Nu/%Ld"
	for n in 0 1 3; do
		mkdir "split/x$n"
		made 20 "$PWD/split/x$n/example.com"
	done
	mkdir split/other
	made 20 "$PWD/split/other/example.com"
	rm "$(one 1 split/x1)"
	rm "$(one 1 split/other)"
	rescan --all -f json >out
	jq -ec --arg dir "$PWD/split" '[.rescans[] | [.path, .result]] == [[$dir + "/x0/example.com", "right"],
		[$dir + "/x1/example.com", "repaired"], [$dir + "/x3/example.com", "right"]]' out
	# One that is bad does not keep the others from being done.
	sed -i 1s/1/7/ split/x0/example.com/fscache.log
	rm "$(one 1 split/x3)"
	says 65 'x0/example.com: fscache.log is not of version 1' --all
	[ "$(cut -f 4 out | paste -sd' ')" = "result failed right repaired" ]
	touch -d '2 days ago' split/x1/example.com/??/*
	rescan --all 1d 2>/dev/null >out || true
	[ "$(real split/x1/example.com)" = "0 0" ]
	[ "$(real split/other/example.com | cut -d' ' -f1)" = 19 ]
	conf
	rescan --all -f json | jq -e --arg path "$cache" '.rescans[0].path == $path'
	sed -i '/obox_fs/d' conf
	says 78 'obox_fs has no fscache:' --all
	# Before its first use.
	conf "$PWD/none/%u"
	rescan --all -f json | jq -e '.rescans == []'
	mkdir none none/empty
	rescan --all -f json | jq -e '.rescans == []'
}

@test "--all: one directory that cannot be looked at keeps no other from being done" {
	[ "$(id -u)" = 0 ] || skip "only root can be somebody else"
	mkdir split
	conf "$PWD/split/%4Nu" 1G
	for n in 0 1 2; do made 20 "$PWD/split/$n"; done
	mkdir -m 700 split/backup
	chown -R 65534:65534 split/[0-9] state
	chmod 755 . "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	rm "$(one 1 split/2)"
	printf 'mail_uid = 65534\nmail_gid = 65534\n' >>conf
	says 77 "$PWD/split/backup: " --all
	rescan --all -f json >out 2>err || true
	jq -ec --arg dir "$PWD/split/" '[.rescans[] | [.path, .result]] == [[$dir + "0", "right"], [$dir + "1", "right"],
		[$dir + "2", "right"], [$dir + "backup", "failed"]]' out
	exact split/2
	"$BIN/fscache-status" -c conf -f json >out 2>err || [ "$?" = 77 ]
	jq -e '[.caches[].files] == [20, 20, 19, null] and (.caches[3].error | contains("denied"))' out
	# Deeper than that, too.
	conf "$PWD/split/%Ld/%4Nu" 1G
	mkdir split/example.com
	made 20 "$PWD/split/example.com/3"
	chown -R 65534:65534 split/example.com
	printf 'mail_uid = 65534\nmail_gid = 65534\n' >>conf
	says 77 "$PWD/split/backup: " --all
	grep -q "^$PWD/split/example.com/3"$'\t''20'$'\t' out
}

@test "a PATH may be relative, and needs no obox_fs" {
	cd "$cache"
	"$BIN/fscache-rescan" -c /dev/null -o mail_home=/idx/%u . >/dev/null
	"$BIN/fscache-rescan" -c /dev/null -o mail_home=/idx/%u ../cache -f json | jq -e '.rescans[0].result == "right"'
}

@test "progress on a terminal, and nowhere else" {
	# A second goes by each time that the clock is read: the line is drawn at once.
	cat >clock.c <<-'C'
		#include <stdatomic.h>
		#include <sys/syscall.h>
		#include <time.h>
		#include <unistd.h>
		int clock_gettime(clockid_t clock, struct timespec *now)
		{
			static atomic_int later;
			int ret = (int)syscall(SYS_clock_gettime, clock, now);
			if (clock == CLOCK_MONOTONIC)
				now->tv_sec += ++later;
			return ret;
		}
	C
	${CC:-cc} -D_GNU_SOURCE -shared -fPIC -o clock.so clock.c
	on_terminal() {
		script -qec "LD_PRELOAD=$PWD/clock.so '$BIN/fscache-rescan' -c conf '$cache' $*" typescript >/dev/null
		grep -q right typescript
	}
	on_terminal
	grep -aEq $'\r''[1-9][0-9]*/300 files, [0-9.]+/s' typescript
	# The table stands where it was.
	grep -aEq $'\r\e\\[K'"(path|$cache) " typescript
	on_terminal -q
	run -1 grep -a ' files, ' typescript
	LD_PRELOAD=$PWD/clock.so rescan "$cache" 2>err >/dev/null
	[ ! -s err ]
}

@test "temporaries: what nobody has locked goes" {
	mkdir -p "$cache/tmp"
	echo left >"$cache/tmp/0123456789abcdef0123456789abcdef"
	echo left >"$cache/fscache.log.new"
	[ "$(field leftover_files)" = 1 ]
	[ -z "$(ls "$cache/tmp")" ]
	[ ! -e "$cache/fscache.log.new" ]
}

@test "names as hostile as they can be" {
	mkdir -p "$cache/00"
	printf -v name 'new\nline\x1b[31m'
	: >"$cache/00/$name"
	: >"$cache/00/-rf"
	: >"$cache/00/%2E%2E"
	: >"$cache/00/%2e%2e%2fx"
	rescan "$cache" -f json >out 2>err
	jq -e '.rescans[0].foreign_files == 4' out
	run -1 grep -P '\x1b' err
	rm "$cache/fscache.log"
	[ "$(field result,unlogged_files 2>/dev/null)" = $'repaired\t300' ]
	run -1 grep -v '^[ -~]*$' "$cache/fscache.log"
}

@test "a full stdout is 74, and the log is repaired all the same" {
	rm "$(one 1)"
	for format in flow pager tab table json jsonl; do
		status=0
		"$BIN/fscache-rescan" -c conf "$cache" -f $format >/dev/full 2>err || status=$?
		[ "$status" = 74 ]
		[ "$(wc -l <err)" = 1 ]
	done
	exact
}
