#!/usr/bin/env bats
# A backend goes down with a real Dovecot's indexes half written. After a crash clients see what was
# uploaded, and nothing that may be torn; after a clean stop all of it.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	DIR=$(scratch_make)
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	pair_start "$DIR" index "posix:$DIR/store"
	user=crash@example.com
	home=$(home_of a "$user")
}

teardown() {
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log >&3; }
	rm -rf "$DIR"
	json_valid
}

# The boot before: programs run in it see another /proc.
boot_before() {
	CONF=$DIR/a/metacache.conf BIN=$BIN unshare -m -p -f --mount-proc bash -ec '
		mc() { "$BIN/metacache-$1" -q -c "$CONF" "${@:2}" >/dev/null; }
		'"$1"
}

# Mails and flags that were uploaded, and then more that were not, all in the boot before.
live_and_end() {
	"$REAL_DIR/seed" "$(value_of a IMAP_PORT)" "$(value_of a LMTP_PORT)" "$user" 7 5
	on a "$user" dump >"$DIR/uploaded.txt"
	DUMP=$DIR/uploaded.txt boot_before 'mc boot start; mc flushall; '"${1:-}"
	on a "$user" store INBOX 1:3 +FLAGS '(\Answered $Lost)'
	on a "$user" dump >"$DIR/last.txt"
	run ! diff "$DIR/uploaded.txt" "$DIR/last.txt"
	"$REAL_DIR/stop" "$DIR/a"
}

dovecot_again() {
	POSTLOGIN=$PROJECT_DIR/scripts/imap-postlogin \
		EXTRA_ENV="METACACHE_CONF=$DIR/a/metacache.conf METACACHE_REFRESH=$BIN/metacache-refresh" \
		"$REAL_DIR/start-dovecot" "$DIR" index a >"$DIR/a/env"
}

# As a filesystem may leave what was never synced: the tail is zeros.
tear() {
	local log size
	for log in "$home"/mailboxes/*/dovecot.index.log; do
		size=$(stat -c %s "$log")
		touch -r "$log" "$DIR/time"
		truncate -s $((size - 100)) "$log"
		truncate -s "$size" "$log"
		touch -r "$DIR/time" "$log"
	done
}

@test "crash: the next login sees what was uploaded, Dovecot finds nothing torn, the changes are kept" {
	live_and_end
	tear
	mc a boot start -q
	dovecot_again
	: >"$DIR/a/log/dovecot.log"
	on a "$user" dump >"$DIR/now.txt"
	diff "$DIR/uploaded.txt" "$DIR/now.txt"
	[ -z "$(errors_of a)" ] || { errors_of a; return 1; }
	# INBOX's flags are in a log that an operator can read.
	[ "$(find "$DIR/a/idx/.trash" -maxdepth 1 -name 'kept-*' | wc -l)" -ge 1 ]
	find "$DIR/a/idx/.trash" -path '*/kept-*/dovecot.index.log' | grep -q .
	# From here on as ever.
	on a "$user" store INBOX 1:2 +FLAGS '($After)'
	on a "$user" dump >"$DIR/after.txt"
	mc a flushall -f json | jq -e '.summary.uploaded >= 1 and .summary.obsolete == 0 and .summary.conflicts == 0'
	on b "$user" dump >"$DIR/on-b.txt"
	diff "$DIR/after.txt" "$DIR/on-b.txt"
}

@test "crash: rescan takes it away before anybody logs in" {
	live_and_end
	tear
	mc a boot start -q
	mc a rescan -f json >"$DIR/rescan.json" 2>"$DIR/log"
	# Of a torn log nobody knows; root indexes only had what can be computed again.
	grep -q 'changes=important reason="its log is torn" .* lost=no' "$DIR/log"
	grep -q 'unit="" changes=\(none\|unimportant\)' "$DIR/log"
	jq -e '.rescans[0] | .discarded >= 3 and .discarded_important >= 1 and .suspect == 0' "$DIR/rescan.json"
	[ ! -e "$home" ]
	dovecot_again
	: >"$DIR/a/log/dovecot.log"
	on a "$user" dump >"$DIR/now.txt"
	diff "$DIR/uploaded.txt" "$DIR/now.txt"
	[ -z "$(errors_of a)" ] || { errors_of a; return 1; }
}

@test "without the rule the torn indexes would have been served" {
	live_and_end
	tear
	dovecot_again
	: >"$DIR/a/log/dovecot.log"
	on a "$user" dump >"$DIR/now.txt" || true
	! diff "$DIR/last.txt" "$DIR/now.txt" >/dev/null || [ -n "$(errors_of a)" ]
}

@test "clean stop: every flag is still there, and is uploaded later" {
	"$REAL_DIR/seed" "$(value_of a IMAP_PORT)" "$(value_of a LMTP_PORT)" "$user" 7 5
	"$REAL_DIR/stop" "$DIR/a"
	boot_before 'mc boot start; mc flushall'
	dovecot_again
	on a "$user" store INBOX 1:3 +FLAGS '(\Answered $Kept)'
	on a "$user" dump >"$DIR/last.txt"
	"$REAL_DIR/stop" "$DIR/a"
	# The stop of that very boot.
	sed -i "s/ - a\$/ $(date +%s.%N) a/" "$DIR/a/metacache-state/reboots"
	mc a boot start -q
	[ "$(mc a boot status -f json | jq -r '.boots[].state' | paste -sd' ')" = 'clean running' ]
	mc a rescan -f json | jq -e '.rescans[0] | .discarded == 0 and .suspect == 0'
	dovecot_again
	on a "$user" dump >"$DIR/now.txt"
	diff "$DIR/last.txt" "$DIR/now.txt"
	mc a flushall -f json | jq -e '.summary.uploaded >= 1'
	on b "$user" dump >"$DIR/on-b.txt"
	diff "$DIR/last.txt" "$DIR/on-b.txt"
}
