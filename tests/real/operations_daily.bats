#!/usr/bin/env bats
# docs/operations.md, as in operations.bats: what happens to a backend that stays in the cluster.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	. "$BATS_TEST_DIRNAME/guide.bash"
	DIR=$(scratch_make)
	client=
	guide_start
	user=user@example.com # as the guide has it
	guide_user "$user"
}

teardown() {
	[ -z "$client" ] || kill "$client" 2>/dev/null || true
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log "$DIR/said" "$DIR/systemd" >&3 || true; }
	rm -rf "$DIR"
	json_valid
}

# Of how many users something important is only here.
important() { mc a flushall -n -i -q -f json | jq '[.users[] | select(.uploaded > 0)] | length'; }
boot_state() { mc a boot status -f json | jq -r '.boots[-1].state'; }

@test "before anything else: the checks answer, the services start" {
	[ "$(commands 'Before anything else' | wc -l)" = 5 ]
	follow 'Before anything else' 1 4
	said "^backend_host[[:space:]]+$A_HOST"
	tail -n 1 "$DIR/said" | jq -e '.summary.users == 1'
	follow 'Before anything else' 5 5
	[ "$(boot_state)" = running ]
}

@test "stop, and start again: all is uploaded, the mark is set and goes, a crash after that is noticed" {
	follow 'Before anything else' 5 5
	[ "$(commands Stop | wc -l)" = 4 ]
	[ "$(important)" = 1 ]
	on d "$user" dump >"$DIR/before.txt"
	follow Stop 1 1
	grep -q '"step":"mark-clean","result":"done"' "$DIR/systemd"
	[ "$(important)" = 0 ]
	[ "$(boot_state)" = stopped ]
	on b "$user" dump >"$DIR/there.txt"
	diff "$DIR/before.txt" "$DIR/there.txt"
	follow Stop 3 4
	[ "$(boot_state)" = running ]
	# The same without the guide at hand.
	operator systemctl stop dovecot
	[ "$(boot_state)" = stopped ]
	operator systemctl start dovecot
	[ "$(boot_state)" = running ]
	on d "$user" store INBOX 3 +FLAGS '($Lost)'
	[ "$(important)" = 1 ]
	# Power fails, and comes back.
	"$REAL_DIR/stop" "$DIR/a"
	in_other_boot '"$DIR/bin/metacache-boot" start -q >/dev/null 2>&1
		"$DIR/bin/metacache-flushall" -f json 2>&1 >"$DIR/flush.json"
		"$DIR/bin/metacache-rescan" -o doveadm_url= -f json >"$DIR/rescan.json" 2>"$DIR/said" || [ $? = 75 ]'
	jq -e '.summary.uploaded == 0' "$DIR/flush.json"
	jq -e '.rescans[0] | .discarded >= 1 and .discarded_important >= 1' "$DIR/rescan.json"
	[ "$(find "$DIR/a/idx/.trash" -maxdepth 1 -name 'kept-*' | wc -l)" -ge 1 ]
}

@test "a stop without the upload: that service first" {
	follow 'Before anything else' 5 5
	follow Stop 2 2
	grep -q 'nothing is uploaded' "$DIR/systemd"
	[ "$(important)" = 1 ]
	[ "$(boot_state)" = running ]
	follow Stop 3 4
	on d "$user" dump | grep -q Flagged
}

@test "restart: nothing is uploaded, nothing is lost" {
	follow 'Before anything else' 5 5
	on d "$user" dump >"$DIR/before.txt"
	[ "$(commands Restart)" = 'doveadm reload' ]
	follow Restart 1 1
	poll_until 20 on d "$user" login
	operator systemctl restart dovecot
	[ "$(important)" = 1 ]
	[ "$(boot_state)" = running ]
	on d "$user" dump >"$DIR/after.txt"
	diff "$DIR/before.txt" "$DIR/after.txt"
	# It is bound to the next stop, too.
	operator systemctl stop dovecot
	[ "$(important)" = 0 ]
}

@test "a user was moved, with a client that comes back at once: no change is lost, the rest is pruned" {
	"$REAL_DIR/imap" "$(value_of d DIRECTOR_IMAP_PORT)" "$user" insist INBOX "$DIR/told" 2>/dev/null 3>&- &
	client=$!
	poll_until 20 grep -q K3 "$DIR/told"
	[ "$(commands 'A user was moved' | wc -l)" = 4 ]
	follow 'A user was moved' 1 3
	lines=$(wc -l <"$DIR/told")
	poll_until 20 eval '[ "$(wc -l <"$DIR/told")" -ge $((lines + 2)) ]'
	kill "$client"
	wait "$client" || true
	mc b flushall -f json | jq -e '.summary.conflicts == 0 and .summary.uploaded >= 1'
	on b "$user" dump | sed -n 's/^  1 \[\(.*\)\] .*/\1/p' | tr ' ' '\n' | sort >"$DIR/there"
	[ -z "$(sort "$DIR/told" | comm -23 - "$DIR/there")" ]
	follow 'A user was moved' 4 4
	said 'obsolete|unchanged|flushed'
	[ ! -e "$(home_of a "$user")" ]
}

# Both backends change INBOX, and B's change is in storage.
conflict() {
	mc a flushall -q >/dev/null
	on b "$user" dump >/dev/null
	on a "$user" store INBOX 3 +FLAGS '($Here)'
	on b "$user" store INBOX 3 +FLAGS '($There)'
	mc b flushall -q >/dev/null
	[ "$(commands 'Index conflict' | wc -l)" = 5 ]
	if follow 'Index conflict' 1 1; then return 1; fi
	said ' conflict '
	# Which folder, whose bundle.
	if follow 'Index conflict' 2 2; then return 1; fi
	said "mailboxes/.* conflict +bundle"
}
solved() {
	mc a verify -q -u "$user" >/dev/null
	on b "$user" dump >"$DIR/dump.txt"
	grep -qF "$1" "$DIR/dump.txt"
	run -1 grep -F "$2" "$DIR/dump.txt"
}

@test "index conflict: what is here wins" {
	conflict
	follow 'Index conflict' 4 4
	solved '$Here' '$There'
}

@test "index conflict: what is in storage wins" {
	conflict
	follow 'Index conflict' 5 5
	solved '$There' '$Here'
	on a "$user" dump | diff - "$DIR/dump.txt"
}
