#!/usr/bin/env bats
bats_require_minimum_version 1.5.0

# killat itself, before a sweep is believed. `make test-tools` first.

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	tools=$(cd "$root" && cd "${BUILD:-build}" && pwd)/tests/fault
	PATH=$tools:$PATH
	cd "$BATS_TEST_TMPDIR" || return
	mkdir work
}

# Every file.N holds "whole N".
all_whole() {
	local f
	for f in work/file.*; do
		[ -e "$f" ] || continue
		[ "$(cat "$f")" = "whole ${f##*.}" ] || { echo "$f is torn"; return 1; }
	done
}

# PID is gone or a zombie.
is_dead() {
	! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

@test "count: threads are counted, and their calls are listed" {
	run -0 killat count --list --output list twothreads work 6
	[ "$output" = 24 ]
	[ "$(wc -l <list)" = 24 ]
	[ "$(grep -c ' fsync ' list)" = 6 ]
	grep -q " rename $PWD/work/tmp.0 -> $PWD/work/file.0$" list
}

@test "count: children are counted, and the command's exit status is kept" {
	run -3 killat count sh -c 'mkdir work/a; (mkdir work/b; (mkdir work/c)); exit 3'
	[ "$output" = 3 ]
}

@test "count: reading, pipes and terminals change nothing" {
	echo x >work/x
	run -0 killat count sh -c 'cat work/x | tr x y >/dev/null; ls work >/dev/null'
	[ "$output" = 0 ]
}

@test "at: the call is not made, with --after it is" {
	run -137 killat at 2 sh -c 'mkdir work/a; mkdir work/b; mkdir work/c'
	[[ "$output" == *"2 killed before mkdir"*"work/b"* ]]
	[ -d work/a ]
	[ ! -e work/b ]
	rm -r work/a
	run -137 killat at 2 --after sh -c 'mkdir work/a; mkdir work/b; mkdir work/c'
	[[ "$output" == *"2 killed after mkdir"*"work/b"* ]]
	[ -d work/b ]
	[ ! -e work/c ]
}

@test "at: past the end the command is undisturbed" {
	run -5 killat at 3 sh -c 'mkdir work/a; mkdir work/b; exit 5'
	[[ "$output" == *"not reached: 2 calls"* ]]
	[ -d work/b ]
}

@test "at: a sweep over two threads leaves whole files, and a run finishes the work" {
	for when in "" --after; do
		for n in $(seq 1 24); do
			rm -rf work && mkdir work
			run -137 killat at "$n" $when twothreads work 6
			all_whole
			[ "$(find work -name 'file.*' | wc -l)" -lt 6 ] || [ -n "$when" ]
		done
		run -0 killat at 25 $when twothreads work 6
		[ "$(find work -name 'file.*' | wc -l)" = 6 ]
		[ "$(find work -name 'tmp.*' | wc -l)" = 0 ]
	done
}

@test "at: a background child dies with the rest before killat returns" {
	run -137 killat at 3 sh -c 'sleep 1000 & echo $! >work/pid; mkdir work/a; wait'
	[ -s work/pid ]
	[ ! -e work/a ]
	is_dead "$(cat work/pid)"
}

@test "fail: one call fails with the errno, the rest succeed" {
	run -74 killat fail 2 --errno ENOSPC --only write twothreads work 6
	[[ "$output" == *"2 ENOSPC write "* ]]
	[[ "$output" == *"No space left on device"* ]]
	[ "$(find work -name 'file.*' | wc -l)" = 5 ]
	all_whole
}

@test "fail: --fail-from fails all from there on" {
	run -74 killat fail --fail-from 3 --errno EIO --only fsync twothreads work 6
	[ "$(find work -name 'file.*' | wc -l)" = 2 ]
	[ "$(grep -c 'EIO fsync' <<<"$output")" = 4 ]
}

@test "--only and --path choose what is counted" {
	run -0 killat count --only rename twothreads work 6
	[ "$output" = 6 ]
	run -0 killat count --path file.1 twothreads work 6
	[ "$output" = 1 ]
	run -0 killat count --only net twothreads work 6
	[ "$output" = 0 ]
	echo x >work/x
	run -0 killat count --only grow rm work/x
	[ "$output" = 0 ]
}

@test "requests over TCP count, and die before or after they were sent" {
	s3sink --die-with-parent >url &
	sink=$!
	for _ in $(seq 100); do [ -s url ] && break; sleep 0.05; done
	url=$(cat url) && echo body >body
	run -0 killat count --list --output list curl -sS -T body "$url/bench/a"
	[ "$output" -ge 1 ]
	grep -q "tcp:127.0.0.1:${url##*:}" list
	last=$output

	run -137 killat at 1 curl -sS -T body "$url/bench/before"
	[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/bench/before")" = 404 ]
	run -137 killat at "$last" --after curl -sS -H Expect: -T body "$url/bench/after" ||
		run -137 killat at 1 --after curl -sS -H Expect: -T body "$url/bench/after"
	for _ in $(seq 100); do
		code=$(curl -s -o /dev/null -w '%{http_code}' "$url/bench/after")
		[ "$code" = 200 ] && break
		sleep 0.05
	done
	[ "$code" = 200 ]
	run -56 killat fail 1 --errno ECONNRESET --only net curl -sS -T body "$url/bench/reset" ||
		run -55 killat fail 1 --errno ECONNRESET --only net curl -sS -T body "$url/bench/reset"
	kill "$sink"
}

@test "bad usage is 64, a command that is not there 127" {
	run -64 killat
	run -64 killat at 0 true
	run -64 killat at x true
	run -64 killat fail 1 true
	run -64 killat fail 1 --errno NOSUCH true
	run -64 killat count --after true
	run -64 killat at 1
	run -127 killat at 1 ./nothing-here
}
