#!/usr/bin/env bats
# metacache-verify: each drift injected, found without a change, repaired (or kept), and not found
# again. Those that are of single bundles are in verify_bundles.bats.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	. "$BATS_TEST_DIRNAME/verify.bash"
	verify_setup
}

@test "without drift: no row, one listing a user, text and JSON" {
	verify 0 -A
	[ "$(jq -c 'del(.summary.duration_ms)' "$out")" = \
		'{"drifts":[],"summary":{"users":2,"units":6,"not_uploaded":0,"remote_only":0,"drifts":0,"repaired":0,"failed":0,"deleted":0,"bytes":0,"requests":2,"lists":2,"gets":0}}' ]
	[ "$(mc verify -A -f tab)" = $'username\tunit\tdrift\tobject\trepaired\terror' ]
	[ "$(mc verify -u "$user" -f jsonl | jq -c '.summary.units')" = 3 ]
	mc verify -u "$user" -f table | grep -q '^drifts: *0'
	printf '%s\n' "${USERS[@]}" | mc verify -F - -f json | jq -e '.summary.users == 2' >/dev/null
	verify 0 -A --repair
	[ "$(jq .summary.requests "$out")" = 2 ]
	status=0
	"$BIN/metacache-verify" -c "$W/here/conf" -A -f json >/dev/full 2>/dev/null || status=$?
	[ "$status" = 74 ]
}

@test "changes that a flush will upload, and units that are only in storage, are counted" {
	mc clean -q -p 2 -u "$user" >/dev/null
	world_change
	mc rescan -q >/dev/null
	verify 0 -A
	[ "$(jq -c '.summary | [.units, .not_uploaded, .remote_only]' "$out")" = '[4,4,2]' ]
	rm -rf "$idx" "$W/here/state"
	mkdir "$idx"
	verify 0 -u "$user" --deep
	[ "$(jq -c '.summary | [.users, .units, .not_uploaded, .remote_only, .gets]' "$out")" = '[1,0,0,3,3]' ]
}

@test "usage and users: 64, 67" {
	says 67 'no such user here or in storage: "nobody@example.com"' verify -u nobody@example.com
	says 64 '' verify -u '../x'
	verify 0 -u "$user" --dry-run
	says 78 obox_index_fs verify -A -o obox_index_fs=
}

@test "obsolete: another backend has gone on; repaired by a refresh" {
	elsewhere
	found obsolete obsolete obsolete obsolete obsolete obsolete
	verify 0 -u "$user" --repair
	rows_are '"\(.unit) \(.repaired)"' '. true' "$unit true" \
		"mailboxes/$(ls "$home/mailboxes" | sort | tail -1) true"
	verify 0 -A --repair -o metacache_close_delay=1h
	sound
	diff <(tree_of "$idx") <(tree_of "$W/there/idx")
}

@test "obsolete: several uploads behind another backend, of diffs and of bases" {
	with_diffs
	storage_of >/dev/null
	for i in $(seq 6); do
		world_change there
		[ $i != 3 ] || find "$W/there/idx" -name '*.index.log' -exec sh -c 'head -c 9000 /dev/urandom >>"$1"' - {} \;
		"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	done
	[ ! -e "$base" ]
	found obsolete obsolete obsolete obsolete obsolete obsolete
	verify 0 -A --repair
	sound
	diff <(tree_of "$idx") <(tree_of "$W/there/idx")
}

@test "obsolete, and a session has it open: stays" {
	elsewhere
	exec 8<"$folder/dovecot.index.log"
	verify 65 -u "$user" --repair
	exec 8<&-
	rows_are 'select(.repaired | not) | "\(.unit) \(.error)"' \
		"$unit $unit is older than in storage, but a session has it open"
	verify 0 -A --repair
	sound
}

@test "a refresh that was cut short" {
	set_state 's["installing"] = s["base"]'
	found obsolete
	is_repaired obsolete
}

@test "conflict: changed here and there, never repaired" {
	elsewhere
	world_change
	mc rescan -q >/dev/null
	found conflict conflict conflict conflict conflict conflict
	is_kept conflict conflict conflict conflict conflict conflict
	mc refresh -q -A --discard-important >/dev/null
	sound
}

# append_record LOG KIND FORMAT VALUE…: one record of Dovecot's log.
append_record() {
	python3 - "$@" <<-'PYTHON'
		import struct, sys
		data = struct.pack("<" + sys.argv[3], *map(int, sys.argv[4:]))
		size = (len(data) + 8) // 4
		head = bytes(0x80 | (size >> s) & 0x7F for s in (21, 14, 7, 0))
		open(sys.argv[1], "ab").write(head + struct.pack("<I", int(sys.argv[2], 16)) + data)
	PYTHON
}

@test "conflict: only a mail was appended here, and storage has something newer; as flush and refresh say" {
	cp "$CLI_DIR"/index/dovecot.index* "$folder"
	for _ in 1 2; do mc flushall -q >/dev/null; done
	storage_of >/dev/null
	append_record "$W/there${folder#"$W/here"}/dovecot.index.log" 4 IIBBBB 1 1 2 0 0 0
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	append_record "$folder/dovecot.index.log" 10000002 II 100 0
	mc rescan -q >/dev/null
	found conflict
	rows_are '"\(.unit) \(.error)"' "$unit changed here (1 appended), and storage has a newer bundle"
	is_kept conflict
	run -65 mc flush -q -u "$user"
	run -65 mc refresh -q -u "$user"
}

@test "conflict: changed since a refresh was cut short, or nothing of it was uploaded" {
	set_state 's["installing"] = s["base"]'
	echo changed >>"$folder/dovecot.index.log"
	mc rescan -q >/dev/null
	found conflict
	is_kept conflict
	run -65 mc refresh -q -u "$user"
	set_state 'del s["installing"], s["base"]'
	rm "$folder/.state.blocks"
	mc rescan -q >/dev/null
	found conflict
	is_kept conflict
	run -65 mc refresh -q -u "$user"
	run -65 mc flush -q -u "$user"
}

@test "conflict: bundles of two writers, here and only in storage" {
	world_conf "$W/there"
	storage_of >/dev/null
	world_change there
	# Each has gone on without having seen the other.
	mv "$W/store" "$W/first"
	cp -a "$W/first" "$W/store"
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	cp -a "$W/store" "$W/second"
	rm -r "$W/store"
	mv "$W/first" "$W/store"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/second/." "$W/store"
	rm -rf "$W/there" "$W/second"
	rm -r "$folder"
	mc refresh -q -A >/dev/null 2>&1 || true
	mc rescan -q >/dev/null
	verify 65 -A --repair
	[ "$(rows .drift | uniq -c | tr -d ' ')" = 6conflict ]
	verify 65 -A
	[ "$(rows .drift | uniq -c | tr -d ' ')" = 6conflict ]
}

@test "missing_remote: the base, the diff, all of it" {
	with_diffs
	rm "$base"
	found missing_remote orphan_diff
	rows_are '[.username, .unit, .drift, .object] | join(" ")' \
		"$user $unit missing_remote ${base##*/}" "$user $unit orphan_diff ${diff##*/}"
	is_repaired missing_remote orphan_diff
	with_diffs
	rm "$diff"
	found missing_remote
	is_repaired missing_remote
	rm -r "$stored"
	found missing_remote missing_remote missing_remote missing_remote missing_remote
	is_repaired missing_remote missing_remote missing_remote missing_remote missing_remote
}

@test "missing_remote where another writer has gone on is obsolete, and nothing is written over" {
	with_diffs
	storage_of >/dev/null
	while read -r log; do
		head -c 8000 /dev/urandom >>"$log"
	done < <(find "$W/there/idx" -path "*$user*" -name '*.index.log')
	# The old base goes with the next one.
	for _ in 1 2; do "$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null; done
	[ ! -e "$base" ]
	remember
	found obsolete obsolete obsolete
	verify 0 -A --repair
	sound
	diff <(tree_of "$idx") <(tree_of "$W/there/idx")
}

@test "wrong_remote_size: of the base, of the diff" {
	with_diffs
	echo more >>"$base"
	found wrong_remote_size
	is_repaired wrong_remote_size
	with_diffs
	truncate -s -1 "$diff"
	found wrong_remote_size
	is_repaired wrong_remote_size
}

@test "torn_state: uploaded anew where storage has nothing, else kept" {
	echo '{' >"$folder/.state"
	mc rescan -q >/dev/null
	found torn_state
	verify 65 -A --repair
	rows_are '[.unit, .object, .repaired] | join(" ")' "$unit .state false"
	rm -r "$stored/$unit"
	found torn_state
	is_repaired torn_state
}

@test "bad_blocks: damaged, of another base" {
	with_diffs
	spoil "$folder/.state.blocks" 40
	found bad_blocks
	is_repaired bad_blocks
	[ ! -e "$folder/.state.blocks" ]
	cp "$home/.state.blocks" "$folder/.state.blocks"
	found bad_blocks
	is_repaired bad_blocks
}

@test "unregistered_home, unknown_user" {
	sql "DELETE FROM users WHERE username = '$user'"
	sql "INSERT INTO users SELECT 'nobody@example.com', root, dev_major, dev_minor, upload_within, bytes0, bytes1, bytes2, bytes3, access0, access1, access2, access3, changes, last_service, settled, unflushed, seen, 0, 0 FROM users"
	found unregistered_home unknown_user
	is_repaired unregistered_home unknown_user
	[ "$(fields username list)" = "$(printf '%s\n' "${USERS[@]}")" ]
	sql "UPDATE users SET root = '/elsewhere' WHERE username = '$user'"
	found unregistered_home
	is_repaired unregistered_home
	# A home without indexes is nobody's.
	rm -r "$home"
	mkdir "$home"
	found unknown_user
	verify 0 -A --repair
	rows_are .drift unknown_user
}

@test "wrong_size, wrong_changes" {
	sql "UPDATE users SET bytes0 = bytes0 + 1, bytes3 = 7 WHERE username = '$user'"
	found wrong_size
	is_repaired wrong_size
	sql "UPDATE users SET changes = 2 WHERE username = '$user'"
	found wrong_changes
	is_repaired wrong_changes
	sql "UPDATE users SET obsolete = 1 WHERE username = '$user'"
	found wrong_changes
	is_repaired wrong_changes
	sql "UPDATE users SET conflicts = 2 WHERE username = '$user'"
	found wrong_changes
	is_repaired wrong_changes
	# Taken for settled, while something is left to tidy up: a flush would pass it over.
	rewrite_state ''
	mc rescan -q >/dev/null
	verify 0 -A
	rewrite_state 's["superseded"] = [s["base"] + "-" + "0" * 32]'
	found wrong_changes
	rows_are .error 'the registry takes it for settled, so a flush would pass it over'
	is_repaired wrong_changes
}

@test "stale_trash is swept, kept_trash stays, strange and foreign are named" {
	mkdir -p "$idx/.trash/0123456789abcdef0123456789abcdef/u0" "$idx/.trash/spare"
	found stale_trash
	is_repaired stale_trash
	mkdir "$idx/.trash/held"
	exec 8<"$idx/.trash/held"
	flock 8
	verify 0 -A
	exec 8<&-
	rmdir "$idx/.trash/held"
	cp -a "$home" "$idx/.trash/kept-0123456789abcdef0123456789abcdef"
	mkdir "$idx/strange" "$idx/strange/nobody"
	touch "$idx/file"
	ln -s /etc "$home/link"
	found kept_trash strange strange foreign
	rows_are .object "$idx/.trash/kept-0123456789abcdef0123456789abcdef" "$idx/strange/nobody" "$idx/file" link
	is_kept kept_trash strange strange foreign
	# Those of the roots are only looked at with all users.
	verify 65 -u "$user"
	rows_are .drift foreign
	verify 0 -u "${USERS[1]}"
}

@test "what can't be looked at is an error, and nothing of that user is repaired" {
	sql "UPDATE users SET changes = 2"
	hold_user_locks
	verify 75 -u "$user" --repair -o user_lock_timeout=0
	release
	rows_are '"\(.drift) \(.repaired)"' 'error false'
	verify 74 -u "$user" --repair -o "obox_index_fs=fault:list@*=fail:posix:$W/store"
	rows_are '"\(.drift) \(.repaired)"' 'error false'
	verify 65 -u "$user" --repair -o "obox_index_fs=fault:list@*=truncate:posix:$W/store"
	rows_are '"\(.drift) \(.repaired)"' 'error false'
	# With all users the others are done.
	status=0
	mc verify -A --repair -f json -o "obox_index_fs=fault:list@1=fail:posix:$W/store" >"$out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = 75 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	rows_are '"\(.drift) \(.repaired)"' 'error false' 'wrong_changes true'
	[ "$(jq -c '.summary | [.users, .failed, .drifts, .repaired]' "$out")" = '[2,1,1,1]' ]
	is_repaired wrong_changes
}

@test "missing_remote: killed between forgetting the upload and flushing, flush -i finishes it" {
	# A log that can be read, and tells of nothing since the upload.
	cp "$CLI_DIR"/index/dovecot.index* "$folder"
	for _ in 1 2; do mc flushall -q >/dev/null; done
	base=$(find "$stored/$unit" -name 'bundle.*' ! -name '*-*')
	rm -f "$base" "$base"-*
	run -137 "$KILLAT" at 1 --after --only rename,renameat,renameat2 --path "$folder/.state" \
		"$BIN/metacache-verify" -c "$W/here/conf" -u "$user" --repair
	[ "$(jq -c '[.files, .base]' "$folder/.state")" = "[[],\"${base##*/}\"]" ]
	mc flush -i -u "$user" -f json >"$out"
	[ "$(jq .summary.uploaded "$out")" = 1 ]
	sound
}

@test "conflict: storage has something newer, and nothing there contains what was uploaded here" {
	with_diffs
	cp -a "$W/store" "$W/before"
	# Another writer goes on from the base, without having seen the diff.
	rm "$diff"
	elsewhere
	[ ! -e "$diff" ]
	verify 65 -A --repair
	rows_are "select(.unit == \"$unit\" and .username == \"$user\") | \"\(.drift) \(.repaired) \(.error)\"" \
		'conflict false no bundle contains all that was uploaded or downloaded from here, and storage has a newer bundle'
	rows_are "select(.username == \"$user\" and .drift == \"obsolete\") | \"\(.repaired) \(.error)\"" \
		'false not refreshed, as another unit is in conflict' 'false not refreshed, as another unit is in conflict'
	# Nor where it is listed, and its base is not.
	while read -r log; do
		head -c 8000 /dev/urandom >>"$log"
	done < <(find "$W/there/idx" -path "*$user*" -name '*.index.log')
	# The old base goes with the next one.
	for _ in 1 2; do "$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null; done
	[ ! -e "$base" ]
	cp "$W/before/${diff#"$W/store/"}" "$diff"
	verify 65 -u "$user" --repair
	rows_are "select(.unit == \"$unit\") | \"\(.drift) \(.repaired)\"" 'conflict false' 'orphan_diff false'
	[ -e "$diff" ]
}
