#!/usr/bin/env bats
# What metacache-verify makes of homes that a real Dovecot wrote.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	DIR=$(scratch_make)
	. "$BATS_TEST_DIRNAME/pair.bash"
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	pair_start "$DIR" index "posix:$DIR/store"
	user=user@example.com
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log >&3; }
	pair_stop "$DIR"
	rm -rf "$DIR"
	json_valid
}

@test "LAYOUT=index: sizes by the priorities that the list index gives are no drift" {
	on a "$user" append INBOX 4
	on a "$user" create Junk || true
	on a "$user" append Junk 2
	on a "$user" create Box
	on a "$user" append Box 2
	on a "$user" login
	mc a flush -q -u "$user" >/dev/null
	mc a verify -A -f json >"$DIR/out"
	[ "$(jq -c '.drifts' "$DIR/out")" = '[]' ]
	[ "$(jq .summary.units "$DIR/out")" -ge 4 ]
	[ "$(mc a list -f json "$user" | jq '.users[0]["bytes-used(2)"] > 0')" = true ]
}
