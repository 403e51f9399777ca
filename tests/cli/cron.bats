#!/usr/bin/env bats
# The lines of cron/metacache-tools as cron would run them.

setup() {
	. "$BATS_TEST_DIRNAME/fscache.bash"
	conf "$PWD/split/%4Nu"
	mkdir bin split
	for n in 0 1 2; do made 50 "$PWD/split/$n"; done
	# The settings are the test's, and the system log is a file.
	for program in fscache-rescan metacache-config; do
		printf '#!/bin/sh\nexec %q -c %q "$@"\n' "$BIN/$program" "$PWD/conf" >"bin/$program"
	done
	printf '#!/bin/sh\necho "$@" >>%q\nexec cat >>%q\n' "$PWD/logger" "$PWD/syslog" >bin/logger
	chmod +x bin/*
}

# cron TEXT: run the command of the line that holds TEXT, as cron does: a % would be a newline.
cron() {
	local command
	command=$(grep -F "$1" "$PROJECT/cron/metacache-tools" | grep '^[0-9*]' | cut -f 3-)
	[ "$(grep -c . <<<"$command")" = 1 ]
	[[ "$command" != *%* ]]
	env -i HOME=/root SHELL=/bin/sh PATH="$PWD/bin:/usr/bin:/bin" sh -c "$command" >mail 2>&1
}

@test "every line has five times, a user and a command that can be parsed" {
	local lines=0
	while IFS=$'\t' read -r times user command; do
		[ "$(wc -w <<<"$times")" = 5 ]
		[ "$user" = root ]
		sh -n -c "$command"
		lines=$((lines + 1))
	done < <(grep -E '^#?[0-9*][0-9*/]* [^ ]+ ' "$PROJECT/cron/metacache-tools" | sed 's/^#//')
	[ "$lines" -ge 8 ]
}

@test "the hourly rescan: what was removed by hand and cut off is repaired, and JSON says so" {
	rm "$(one 1 split/1)" "$(one 2 split/1)"
	truncate -s -1000 split/1/fscache.log
	echo 'a client has it' >"$(one 5 split/2)"
	rm split/2/fscache.log
	cron fscache-rescan
	[ ! -s mail ]
	[ "$(sort -u logger)" = "-t fscache-rescan" ]
	[ "$(wc -l <syslog)" = 3 ]
	# Each line is one of JSON Lines, and as its schema says.
	mkdir -p json/cron
	cp syslog json/cron/output
	printf '%s\0' fscache-rescan -f jsonl >json/cron/command
	echo 0 >json/cron/status
	jq -se '.[0].result == "right" and
		(.[1] | .result == "repaired" and .log == "torn" and .missing_files == 2 and .unlogged_files > 4 and
			.off_bytes == .unlogged_bytes - .missing_bytes and (.why | contains("2 files ("))) and
		(.[2] | .result == "repaired" and .log == "lost" and .unlogged_files == 50)' syslog
	for n in 0 1 2; do exact "split/$n"; done
	cron fscache-rescan
	jq -se '.[3:] | length == 3 and all(.result == "right")' syslog
}

@test "the hourly rescan: an error goes to root's mail, and the other directories are done" {
	sed -i 1s/1/9/ split/0/fscache.log
	rm "$(one 1 split/1)"
	cron fscache-rescan || true
	[ "$(wc -l <mail)" = 1 ]
	grep -q 'fscache-rescan: .*split/0: fscache.log is not of version 1' mail
	jq -se '[.[].result] == ["failed", "repaired", "right"]' syslog
}

@test "the hourly rescan: nothing without the program, or without a cache" {
	rm bin/fscache-rescan
	cron fscache-rescan || true
	[ ! -s mail ]
	[ ! -e logger ]
	sed -i '/obox_fs/d' conf
	printf '#!/bin/sh\necho called\n' >bin/fscache-rescan
	chmod +x bin/fscache-rescan
	cron fscache-rescan || true
	[ ! -s mail ]
	[ ! -e logger ]
}
