#!/usr/bin/env bats
# Which changes the commands see after what clients of a real Dovecot do: none after a flush, then
# just the class that it has; what -i and --due upload; how large a flag change is in storage.

bats_require_minimum_version 1.5.0

setup_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	export DIR PAIR_DIR
	DIR=$(scratch_make)
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	install -d -m 755 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/sieve"
	cat >"$DIR/sieve/flag.sieve" <<-'SIEVE'
		require "imap4flags";
		if header :contains "subject" "urgent" { addflag "\\Flagged"; }
	SIEVE
	# Logs rotate early, so that a test sees it.
	export EXTRA_CONF="
		mail_index_log_rotate_min_size = 4k
		mail_index_log_rotate_min_age = 1 s
		protocol lmtp {
		  mail_plugins = sieve
		}
		plugin {
		  sieve_before = $DIR/sieve/flag.sieve
		}"
	pair_start "$DIR" index "posix:$DIR/store"
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	pair_stop "$DIR"
	rm -rf "$DIR"
}

# A user with mails in two folders, all of it in storage.
setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	user=user$BATS_TEST_NUMBER@example.com
	on a "$user" append INBOX 6
	on a "$user" create Box
	on a "$user" append Box 4 '(\Seen)'
	on a "$user" login
	flush >/dev/null
	[ "$(changes)" = none ]
}

teardown() {
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log >&3; }
	json_valid
}

flush() { mc a flush -u "$user" -f json "$@"; }
changes() { mc a rescan -q >/dev/null && mc a list -f json "$user" | jq -r '.users[0].changes'; }

is_important() {
	[ "$(changes)" = important ]
	[ "$(flush -i | jq -r '.users[0].result')" = uploaded ]
	[ "$(flush -i | jq '.users[0].uploaded')" = 0 ]
	[ "$(changes)" != important ]
}

is_unimportant() {
	[ "$(changes)" = unimportant ]
	[ "$(flush -i | jq -c '.users[0] | [.uploaded, .skipped > 0, .result]')" = '[0,true,"skipped"]' ]
	[ "$(flush | jq '.users[0].uploaded > 0')" = true ]
	[ "$(changes)" = none ]
}

@test "STORE +FLAGS is important" {
	on a "$user" store Box 1:2 +FLAGS '(\Flagged)'
	is_important
}

@test "STORE +keyword is important" {
	on a "$user" store INBOX 3 +FLAGS '(Label7)'
	is_important
}

@test "LMTP delivery is unimportant" {
	deliver_on a "$user" 2
	is_unimportant
}

@test "LMTP delivery of a mail that a Sieve script flags is important" {
	deliver_on a "$user" 1 urgent
	is_important
}

@test "APPEND with a flag is important" {
	on a "$user" append Box 1 '(\Flagged)' more
	is_important
}

@test "EXPUNGE is important" {
	on a "$user" expunge Box 2
	is_important
}

@test "FETCH that fills the cache is unimportant" {
	on a "$user" fetch Box
	is_unimportant
}

@test "SELECT that only clears Recent is not important" {
	deliver_on a "$user" 1
	flush >/dev/null
	# Writable, so that Recent is cleared.
	on a "$user" expunge INBOX
	[ "$(changes)" = unimportant ]
	[ "$(flush -i | jq '.users[0].uploaded')" = 0 ]
}

# Dovecot 2.3.19 can't delete folders with sdbox, LAYOUT=index and a separate INDEX.
@test "CREATE, RENAME and DELETE of a folder are important changes of the root unit" {
	PAIR_DIR=$DIR/fs
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$PAIR_DIR/store"
	pair_start "$PAIR_DIR" fs "posix:$PAIR_DIR/store"
	root_bundles() { find "$PAIR_DIR/store" -path "*$user/idx/bundle.*" | sort; }
	on a "$user" append INBOX 1
	for step in "create New" "rename New Newer" "delete Newer"; do
		flush >/dev/null
		[ "$(changes)" = none ]
		before=$(root_bundles)
		on a "$user" $step
		[ "$(changes)" = important ]
		flush -i >/dev/null
		[ "$(root_bundles)" != "$before" ]
		[ "$(changes)" != important ]
	done
	pair_stop "$PAIR_DIR"
}

@test "a log that rotated in between changes no answer" {
	folder() { find "$(home_of a "$user")/mailboxes" -name dovecot.index.log.2; }
	grown() { on a "$user" flip INBOX 100 && [ -n "$(folder)" ]; }
	poll_until 30 grown
	[ "$(changes)" = important ]
	flush >/dev/null
	[ "$(changes)" = none ]
	deliver_on a "$user" 1
	[ "$(changes)" = unimportant ]
	on a "$user" store INBOX 2 +FLAGS '(\Answered)'
	is_important
}

@test "INBOX and Junk are known by the list index, though their directories have only GUIDs" {
	bytes() { mc a rescan -q >/dev/null && mc a list -f json "$user" | jq ".users[0].\"bytes-used($1)\""; }
	size_of() { # size_of NAME: of a folder's indexes
		local guid
		guid=$(doveadm -c "$DIR/a/dovecot.conf" mailbox status -u "$user" guid "$1" | sed 's/.*guid=//')
		cat "$(home_of a "$user")/mailboxes/$guid"/dovecot.index* | wc -c
	}
	on a "$user" create Junk || true
	on a "$user" append Junk 2
	flush >/dev/null
	[ "$(bytes 2)" = $(($(size_of INBOX) + $(size_of Junk))) ]
	[ "$(bytes 3)" -ge "$(size_of Box)" ]
	on a "$user" store Box 1 +FLAGS '(\Flagged)'
	on a "$user" store INBOX 1 +FLAGS '(\Flagged)'
	[ "$(flush -p 3 | jq .users[0].uploaded)" = 1 ]
}

@test "--due: after the upload interval, or with many mails" {
	on a "$user" store Box 1 +FLAGS '(\Flagged)'
	[ "$(flush --due | jq -r '.users[0].result')" = skipped ]
	[ "$(flush --due -o metacache_upload_interval=0 | jq -r '.users[0].result')" = uploaded ]
	flush >/dev/null
	deliver_on a "$user" 3
	[ "$(flush --due -o metacache_upload_interval=0 | jq -r '.users[0].result')" = skipped ]
	[ "$(flush --due -o obox_max_rescan_mail_count=3 | jq -r '.users[0].result')" = uploaded ]
}

# Another backend changes the folder; doveadm doesn't go through the post-login script,
# so this one does not take notice. A mail that was delivered meanwhile is kept: tests/real/e2e.bats.
@test "an obsolete unit with only unimportant changes gives way, one with important ones is a conflict" {
	on b "$user" store INBOX 1:2 +FLAGS '(\Flagged)'
	mc b flush -q -u "$user" >/dev/null
	doveadm -c "$DIR/a/dovecot.conf" fetch -u "$user" 'imap.envelope imap.bodystructure' mailbox INBOX all >/dev/null
	flush >"$DIR/out"
	[ "$(jq -c '.users[0] | [.result, .uploaded, .obsolete > 0]' "$DIR/out")" = '["obsolete",0,true]' ]
	on a "$user" dump >"$DIR/now"
	[ "$(grep -c Flagged "$DIR/now")" = 2 ]
	[ "$(flush | jq '.users[0].conflicts')" = 0 ]
	on b "$user" store INBOX 3 +FLAGS '(\Flagged)'
	mc b flush -q -u "$user" >/dev/null
	doveadm -c "$DIR/a/dovecot.conf" flags add -u "$user" '\Answered' mailbox INBOX uid 4
	run -65 --separate-stderr mc a flush -u "$user" -f json
	[ "$(jq -r '.users[0].result' <<<"$output")" = conflict ]
	[[ "$stderr" == *'both are kept'* ]]
}

@test "ten flags in 3,000 mails: at most 2 KiB are uploaded, and B sees them" {
	on a "$user" create Big
	on a "$user" append Big 3000 '' "$(printf 'a long subject, %.0s' {1..10})"
	on a "$user" fetch Big
	on a "$user" fetch Big 'BODY.PEEK[HEADER.FIELDS (CONTENT-TYPE MIME-VERSION RECEIVED REFERENCES LIST-ID)]'
	flush >/dev/null
	home=$(home_of a "$user")
	folder=$(ls -S -d "$home"/mailboxes/* | while read -r f; do echo "$(du -sb "$f" | cut -f1) $f"; done | sort -n | tail -1 | cut -d' ' -f2)
	size=$(cat "$folder"/dovecot.index* | wc -c)
	echo "# the folder's files: $size bytes" >&3
	[ "$size" -gt 1800000 ]
	inode=$(stat -c %i "$folder/dovecot.index")
	# Until Dovecot has written its index anew, which is larger than the log's tail.
	rewritten() {
		on a "$user" store Big 100:109 +FLAGS '(\Flagged)'
		on a "$user" store Big 100:109 -FLAGS '(\Flagged)'
		[ "$(stat -c %i "$folder/dovecot.index")" != "$inode" ]
	}
	poll_until 60 rewritten
	flush >/dev/null
	on a "$user" store Big 100:109 +FLAGS '(\Flagged)'
	flush -i >"$DIR/out"
	echo "# uploaded $(jq .summary.bytes "$DIR/out") bytes" >&3
	[ "$(jq -c '.summary | [.puts, .bytes > 0, .bytes <= 2048]' "$DIR/out")" = '[1,true,true]' ]
	diff=$(find "$DIR/store" -path "*$user/mailboxes/${folder##*/}/idx/bundle.*-*")
	[ "$(stat -c %s "$diff")" = "$(jq .summary.bytes "$DIR/out")" ]
	mc a unpack -l -f json "$diff" >"$DIR/listed"
	[ "$(jq -c '.[] | map(select(.name == "dovecot.index")) | .[0] | [.packed, .from]' "$DIR/listed")" = '[0,"dovecot.index"]' ]
	on a "$user" dump >"$DIR/before.txt"
	flush >/dev/null # folders that the dump has opened first
	on b "$user" dump >"$DIR/after.txt"
	diff "$DIR/before.txt" "$DIR/after.txt"
	[ -z "$(errors_of b)" ]
}
