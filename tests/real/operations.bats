#!/usr/bin/env bats
# docs/operations.md, followed to the letter on two real backends behind a real director: the
# commands of a section are run as they stand there.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	. "$BATS_TEST_DIRNAME/guide.bash"
	DIR=$(scratch_make)
	export USER_EXPIRE='15 s'
	guide_start
	printf 'obox_fs = fscache:64M:%s:posix:%s\n' "$DIR/cache/mails" "$DIR/store" >>"$DIR/a/metacache.conf"
	here=here@example.com away=away@example.com
	guide_user "$here" "$away"
}

teardown() {
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log "$DIR/said" >&3; }
	rm -rf "$DIR"
}

# An object of the store, always the same, through the mail cache.
mail_object() {
	: "${key:=$(cd "$DIR/store" && find . -type f | head -n 1 | cut -c3-)}"
	"$BIN/fscache-fetch" -c "$DIR/a/metacache.conf" "$key"
}
cached() { find "$DIR/cache/mails" -path '*/[0-9a-f][0-9a-f]/*' -type f; }
dump_all() { for user in "$here" "$away"; do on "$1" "$user" dump; done; }

@test "complex upgrade: drained, down, and back after a clean stop with every flag" {
	dump_all d >"$DIR/before.txt"
	[ "$(commands 'Complex upgrade' | wc -l)" = 10 ]
	in_other_boot '"$DIR/bin/metacache-boot" start -q >/dev/null
		follow "Complex upgrade" 1 3'
	said '^ *mark-clean +done' || said 'mark-clean.*done'
	run -1 said ' failed | not_done '
	follow 'Complex upgrade' 4 4
	# The director has nobody there any more; nothing important is only here.
	/usr/bin/doveadm -c "$DIR/d/dovecot.conf" director status | grep -E "^$A_HOST +0 +down .* 0 *$"
	mc a list -q -f json | jq -e '[.users[] | select(.changes == "important")] | length == 0'
	# The users go on elsewhere, and see what they had.
	dump_all d >"$DIR/away.txt"
	diff "$DIR/before.txt" "$DIR/away.txt"
	on d "$away" store INBOX 3 +FLAGS '($There)'
	# The host comes up again, and notes it.
	follow 'Complex upgrade' 5 9
	said 'clean$' && said 'running$'
	follow 'Complex upgrade' 10 10
	/usr/bin/doveadm -c "$DIR/d/dovecot.conf" director status | grep -E "^$A_HOST +100 +up "
	mc a boot status -f json | jq -e '[.boots[].state] == ["clean", "running"]'
	# Nobody's indexes were given up, and a user who comes back has what he had elsewhere.
	mc b flushall -q >/dev/null
	on d "$away" dump >"$DIR/there.txt"
	move_user "$away" "$A_HOST"
	on d "$away" dump >"$DIR/here.txt"
	diff "$DIR/there.txt" "$DIR/here.txt"
}

@test "backend crash: what was uploaded is served, what may be torn is not, and the loss is named" {
	# The first look at a folder gives it its UIDVALIDITY.
	dump_all d >"$DIR/uploaded.txt"
	in_other_boot '"$DIR/bin/metacache-boot" start -q >/dev/null; "$DIR/bin/metacache-flushall" -q >/dev/null'
	on d "$here" store INBOX 3 +FLAGS '($Lost)'
	"$REAL_DIR/stop" "$DIR/a"
	# A mail of the cache of which only the size reached the disk.
	mail_object >"$DIR/object"
	object=$(cached)
	truncate -s 0 "$object"
	truncate -s "$(stat -c %s "$DIR/object")" "$object"
	[ "$(mail_object | cksum)" != "$(cksum <"$DIR/object")" ]
	# Power comes back.
	mc a boot start -q >/dev/null
	[ "$(commands 'Backend crash' | wc -l)" = 3 ]
	follow 'Backend crash' 1 1
	said 'crashed$' && said 'running$'
	# What is left for the next login is said.
	follow 'Backend crash' 2 2 || said 'the next metacache-refresh replaces it'
	said "metacache_unit_discarded user=$here .*changes=important"
	follow 'Backend crash' 3 3
	[ -z "$(cached)" ]
	"$BIN/fscache-rescan" -c "$DIR/a/metacache.conf" --all
	mail_object | cmp - "$DIR/object"
	[ "$(cached)" = "$object" ]
	[ "$(find "$DIR/a/idx/.trash" -maxdepth 1 -name 'kept-*' | wc -l)" -ge 1 ]
	PATH=$DIR/bin:$PATH systemctl start dovecot 3>&-
	dump_all d >"$DIR/now.txt"
	diff "$DIR/uploaded.txt" "$DIR/now.txt"
}

@test "removing a backend: everything is in storage, and nothing is left" {
	dump_all d >"$DIR/before.txt"
	[ "$(commands 'Removing a backend' | wc -l)" = 4 ]
	follow 'Removing a backend' 1 4
	mc a list -q -f json | jq -e '.users == []'
	dump_all d >"$DIR/after.txt"
	diff "$DIR/before.txt" "$DIR/after.txt"
}

@test "simple upgrade, disk full: the commands do what the guide says" {
	follow 'Simple upgrade' 1 1
	mc a list -q -f json | jq -e '[.users[] | select(.changes == "important")] | length == 0'
	[ "$(commands 'Disk full' | wc -l)" = 5 ]
	commands 'Disk full' | sed "s,-f table,-f table -q," >"$DIR/disk-full"
	mc a flushall -q >/dev/null
	mail_object >/dev/null
	while IFS= read -r command; do
		echo "\$ $command" >>"$DIR/said"
		PATH=$DIR/bin:$PATH bash -c "$command" >>"$DIR/said" 2>&1 </dev/null 3>&-
	done <"$DIR/disk-full"
}
