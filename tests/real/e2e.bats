#!/usr/bin/env bats
# The main job on real servers: indexes that Dovecot A wrote are flushed to object
# storage, and a login on B brings them there, with every flag, keyword, UID,
# UIDVALIDITY and folder; then the other way round.

bats_require_minimum_version 1.5.0

setup_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	export RGW_DIR
	RGW_DIR=$(scratch_make)
	"$REAL_DIR/start-rgw" "$RGW_DIR/rgw" >"$RGW_DIR/env"
	. "$RGW_DIR/env"
	export RGW_URL RGW_PORT RGW_ACCESS_KEY RGW_SECRET_KEY RGW_REGION
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	"$REAL_DIR/stop" "$RGW_DIR/rgw"
	rm -rf "$RGW_DIR"
}

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	DIR=$(scratch_make)
}

teardown() {
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log >&3; }
	rm -rf "$DIR"
	json_valid
}

posix_store() {
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	echo "posix:$DIR/store"
}

# A bucket for each test.
rgw_store() {
	local bucket=e2e-${BATS_TEST_NUMBER}
	"$REAL_DIR/s3" PUT "/$bucket" >/dev/null
	echo "compress:zstd:3:s3:http://$RGW_ACCESS_KEY:$RGW_SECRET_KEY@127.0.0.1:$RGW_PORT/?bucket=$bucket&region=$RGW_REGION"
}

same_account() {
	diff "$DIR/$1.txt" "$DIR/$2.txt"
}

there_and_back() {
	local user=$1
	"$REAL_DIR/seed" "$(value_of a IMAP_PORT)" "$(value_of a LMTP_PORT)" "$user" 7 12
	on a "$user" dump >"$DIR/before.txt"
	grep -q 'Flagged' "$DIR/before.txt"
	grep -q 'Label1' "$DIR/before.txt"
	mc a flushall -f json >"$DIR/flush.json"
	jq -e '.summary.failed == 0 and .summary.conflicts == 0 and .summary.uploaded > 3' "$DIR/flush.json"

	# The login itself brings the indexes to B.
	[ ! -e "$(home_of b "$user")" ]
	on b "$user" dump >"$DIR/on-b.txt"
	same_account before on-b
	[ -e "$(home_of b "$user")/.state" ]

	# The other way round; A's copy is obsolete by then and without changes.
	on b "$user" store INBOX 1:3 +FLAGS '(\Answered $OnlyOnB)'
	on b "$user" append INBOX 2 '(\Draft)' later
	on b "$user" dump >"$DIR/b-changed.txt"
	run ! same_account before b-changed
	grep -q 'OnlyOnB' "$DIR/b-changed.txt"
	mc b flushall -f json >"$DIR/flush-b.json"
	jq -e '.summary.failed == 0 and .summary.conflicts == 0 and .summary.uploaded >= 1' "$DIR/flush-b.json"
	mc a refresh -u "$user" -f json >"$DIR/refresh-a.json"
	jq -e '.users[0].result == "refreshed_changed"' "$DIR/refresh-a.json"
	on a "$user" dump >"$DIR/a-again.txt"
	same_account b-changed a-again
	[ -z "$(errors_of a)$(errors_of b)" ] || { errors_of a; errors_of b; return 1; }
}

@test "LAYOUT=index, posix store: A to B and back" {
	pair_start "$DIR" index "$(posix_store)"
	there_and_back user@example.com
}

@test "LAYOUT=index, Ceph RGW: A to B and back" {
	pair_start "$DIR" index "$(rgw_store)"
	there_and_back user@example.com
	# What is in the bucket has the documented names.
	run -0 "$REAL_DIR/s3" keys "e2e-$BATS_TEST_NUMBER"
	! grep -vE '^b5/899/user@example.com/(mailboxes/[0-9a-f]{32}/)?idx/bundle\.[0-9a-f]+\.[0-9a-f]{5}\.[0-9a-f]{32}$' <<<"$output"
}

@test "folders by name (fs layout), Ceph RGW: A to B and back" {
	pair_start "$DIR" fs "$(rgw_store)"
	there_and_back some.user@example.com
}

@test "Maildir++, posix store: A to B and back" {
	pair_start "$DIR" maildir "$(posix_store)"
	there_and_back user@example.com
}

renamed_and_deleted() {
	local user=user@example.com
	on a "$user" create Foo
	on a "$user" append Foo 2 '(\Flagged)'
	on a "$user" create Gone
	on a "$user" append Gone 2 '(\Seen)'
	mc a flushall
	mc b refresh -u "$user"
	[ -n "$(find "$(home_of b "$user")" -name "$1Gone")" ]
	on a "$user" rename Foo Bar
	on a "$user" delete Gone
	on a "$user" dump >"$DIR/before.txt"
	mc a flushall
	on b "$user" dump >"$DIR/on-b.txt"
	same_account before on-b
	[ -n "$(find "$(home_of b "$user")" -name "$1Bar")" ]
	[ -z "$(find "$(home_of b "$user")" -name "$1Foo" -o -name "$1Gone")" ]
	# And from storage alone, after B has flushed too.
	mc b flushall
	rm -rf "$(home_of a "$user")"
	on a "$user" dump >"$DIR/again.txt"
	same_account before again
	[ -z "$(find "$(home_of a "$user")" -name "$1Foo" -o -name "$1Gone")" ]
}

@test "folders by name: what was renamed and deleted on A is so on B, and stays so" {
	pair_start "$DIR" fs "$(posix_store)"
	renamed_and_deleted ''
}

@test "Maildir++: what was renamed and deleted on A is so on B, and stays so" {
	pair_start "$DIR" maildir "$(posix_store)"
	renamed_and_deleted .
}

@test "a lost index home is what the project is for: with a refresh the flags are back, without it they are gone" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com
	on a "$user" append INBOX 5 '(\Seen)'
	on a "$user" store INBOX 2:4 +FLAGS '(\Flagged $Work)'
	on a "$user" dump >"$DIR/before.txt"
	mc a flush -u "$user"
	rm -rf "$(home_of a "$user")"
	on a "$user" dump >"$DIR/after.txt"
	same_account before after
	# The same loss with nothing in storage shows that the test can see it.
	rm -rf "$(home_of a "$user")" "$DIR/store"/*
	on a "$user" dump >"$DIR/lost.txt"
	! same_account before lost >/dev/null
}

@test "nothing changed: nothing is asked of the store" {
	pair_start "$DIR" index "$(posix_store)"
	on a one@example.com append INBOX 2
	on a two@example.com append INBOX 2
	mc a flushall
	mc a flushall -f json >"$DIR/again.json"
	jq -e '.summary | .users == 2 and .uploaded == 0 and .requests == 0' "$DIR/again.json"
	# The registry is a cache: without it every tree is read again, and still nothing is asked.
	rm -f "$DIR"/a/metacache-state/users.db*
	mc a flushall -f json >"$DIR/again.json"
	jq -e '.summary | .users == 2 and .uploaded == 0 and .requests == 0' "$DIR/again.json"
}

@test "a login is refused while storage can't be asked" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com
	on a "$user" append INBOX 1 '(\Flagged)'
	mc a flush -u "$user"
	mv "$DIR/store" "$DIR/store.away"
	run ! on b "$user" login
	[ ! -e "$(home_of b "$user")" ]
	mv "$DIR/store.away" "$DIR/store"
	on b "$user" login
	[ -e "$(home_of b "$user")/.state" ]
}

@test "changed on both backends: a conflict, both sides kept, an operator decides" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com
	on a "$user" append INBOX 3
	mc a flush -u "$user"
	on b "$user" store INBOX 1 +FLAGS '(\Flagged $FromB)'
	mc b flush -u "$user"
	# A delivery has no post-login script: A's obsolete copy changes too.
	deliver_on a "$user" 1 late
	tree=$(find "$(home_of a "$user")/mailboxes" -type f ! -name '.state*' -print0 | sort -z | xargs -0 sha256sum)
	objects=$(find "$DIR/store" -type f | sort)
	run -65 --separate-stderr mc a flush -u "$user"
	[[ $stderr == *"another writer"*"both are kept"* ]]
	run -65 --separate-stderr mc a refresh -u "$user"
	[[ $stderr == *"both are kept"* ]]
	run -65 --separate-stderr mc a clean -u "$user"
	[ "$tree" = "$(find "$(home_of a "$user")/mailboxes" -type f ! -name '.state*' -print0 | sort -z | xargs -0 sha256sum)" ]
	[ "$objects" = "$(find "$DIR/store" -type f | sort)" ]

	# The word of an operator: what storage has.
	mc a refresh --discard-important -u "$user"
	mc a flush -u "$user"
	on a "$user" dump | grep -q FromB
}

@test "a session that has the mailbox open keeps its indexes" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com
	on a "$user" append INBOX 3
	coproc HOLD { on a "$user" hold INBOX; }
	read -r -t 20 line <&"${HOLD[0]}"
	[ "$line" = ready ]
	mc a flush -u "$user"
	run -75 --separate-stderr mc a clean -u "$user"
	[[ $stderr == *"session"*"open"* ]]
	[ -e "$(home_of a "$user")" ]
	exec {HOLD[1]}>&-
	wait "$HOLD_PID"
	mc a flush -u "$user"
	mc a clean -u "$user"
	[ ! -e "$(home_of a "$user")" ]
	on a "$user" dump | grep -q INBOX
}

@test "a session that only logged in keeps its indexes, where doveadm can be asked" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com key=$DIR/api-key
	value_of a DOVEADM_API_KEY >"$key"
	cat >>"$DIR/a/metacache.conf" <<-CONF
		doveadm_url = http://127.0.0.1:$(value_of a DOVEADM_PORT)
		doveadm_api_key_file = $key
	CONF
	on a "$user" append INBOX 3
	mc a flush -u "$user"
	coproc HOLD { on a "$user" hold-login; }
	read -r -t 20 line <&"${HOLD[0]}"
	[ "$line" = ready ]
	mc a flush -u "$user"
	run -75 --separate-stderr mc a clean -u "$user"
	[[ $stderr == *"logged in"* ]]
	[ -e "$(home_of a "$user")" ]
	exec {HOLD[1]}>&-
	wait "$HOLD_PID"
	mc a flush -u "$user"
	# Who can't be asked may have anybody.
	run -77 --separate-stderr mc a clean -u "$user" -o doveadm_api_key=wrong -o doveadm_api_key_file=
	[[ $stderr == *"doveadm_api_key"* && $stderr != *wrong* ]]
	run -69 mc a clean -u "$user" -o doveadm_url=http://127.0.0.1:1
	[ -e "$(home_of a "$user")" ]
	mc a clean -u "$user"
	[ ! -e "$(home_of a "$user")" ]
}

@test "a flush while Dovecot writes takes a copy that Dovecot reads without an error" {
	pair_start "$DIR" index "$(posix_store)"
	local user=user@example.com i
	on a "$user" append INBOX 50
	for i in $(seq 5); do
		on a "$user" store INBOX "1:50" +FLAGS "(\\Flagged \$Round$i)" &
		mc a flush -u "$user" >/dev/null
		wait $!
	done
	on a "$user" dump >"$DIR/a.txt"
	mc a flush -u "$user"
	on b "$user" dump >"$DIR/b.txt"
	same_account a b
	[ -z "$(errors_of b)" ]
}
