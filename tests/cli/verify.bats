#!/usr/bin/env bats
# metacache-verify: each drift injected, found without a change, repaired (or kept), and not found
# again.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2 flushed
	out=$BATS_TEST_TMPDIR/out
	stored=$(find "$W/store" -name "$user")
	# The unit that most drifts are made in.
	folder=$(find "$home/mailboxes" -mindepth 1 -maxdepth 1 | sort | head -1)
	unit=mailboxes/${folder##*/}
}

# verify CODE ARG…: that code; output as JSON in $out. One line on stderr where it is not 0, but for
# what flush warns of.
verify() {
	local code=$1 status=0
	shift
	mc verify -f json "$@" >"$out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = "$code" ] && [ "$(grep -vc ' warning ' "$BATS_TEST_TMPDIR/err")" = $((code > 0)) ] && return
	echo "verify $*: exit code $status, not $code:"
	cat "$BATS_TEST_TMPDIR/err" "$out"
	return 1
}
rows() { jq -r ".drifts[] | $1" "$out" | sort; }
rows_are() { diff <(rows "$1") <(printf '%s\n' "${@:2}" | grep . | sort); }

# All bytes but those of lock files; of the registry what it says.
everything() {
	find "$W" -type f ! -name 'users.db*' ! -path '*/state/locks/*' -print0 | sort -z | xargs -0r sha256sum
	mc list -f json
}

# found DRIFT…: just these, by looks that change nothing.
found() {
	remember
	everything >"$BATS_TEST_TMPDIR/bytes"
	verify 65 -A ${deep:-}
	rows_are '"\(.drift) \(.repaired)"' "${@/%/ false}"
	verify 65 -A --repair -n ${deep:-}
	rows_are .drift "$@"
	untouched
	everything | diff "$BATS_TEST_TMPDIR/bytes" -
}
# All is repaired, at once and for good, and what is here is in storage.
is_repaired() {
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	verify 0 -A --repair ${deep:-}
	rows_are '"\(.drift) \(.repaired) \(.error)"' "${@/%/ true null}"
	sound
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
}
sound() {
	verify 0 -A --deep
	rows_are .drift ''
	diff <(tree_of "$idx") <(storage_of)
	no_leftovers
}
# Nothing is repaired, and nothing changed by trying.
is_kept() {
	everything >"$BATS_TEST_TMPDIR/bytes"
	verify 65 -A --repair ${deep:-}
	rows_are '"\(.drift) \(.repaired)"' "${@/%/ false}"
	everything | diff "$BATS_TEST_TMPDIR/bytes" -
}

# spoil FILE OFFSET: another byte stands there.
spoil() {
	python3 - "$@" <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte ^ 0x55]))
	PY
}

# The user's folder has a base and a diff in storage.
with_diffs() {
	world_change
	mc flushall -q >/dev/null
	base=$(find "$stored/$unit" -name 'bundle.*' ! -name '*-*')
	diff=$(find "$stored/$unit" -name 'bundle.*-*')
	[ "$diff" != "${diff#"$base-"}" ]
}
# Another backend goes on with what this one flushed.
elsewhere() {
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
}
# set_state STATEMENT: of the folder's .state, which is s.
set_state() {
	python3 -c 'import json, sys; s = json.load(sys.stdin); exec(sys.argv[1]); print(json.dumps(s))' "$1" \
		<"$folder/.state" >"$folder/.state.new"
	mv "$folder/.state.new" "$folder/.state"
}
# The same in place, so that size, time and inode stay what they were the last time.
rewrite_state() {
	python3 - "$folder/.state" "$1" <<-'PY'
		import json, os, sys
		with open(sys.argv[1], "r+") as f:
		    was = os.fstat(f.fileno())
		    s = json.load(f)
		    exec(sys.argv[2])
		    f.seek(0)
		    f.write(json.dumps(s).ljust(8192))
		os.utime(sys.argv[1], ns=(was.st_atime_ns, was.st_mtime_ns))
	PY
}
sql() { python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()' "$W/here/state/users.db" "$1"; }

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

@test "superseded: what could not be deleted" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	found superseded superseded superseded superseded superseded superseded
	is_repaired superseded superseded superseded superseded superseded superseded
	# Without a local tree as well; one batch a user.
	cp -an "$W/before/." "$W/store"
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 0 -u "$user" --repair
	rows_are .drift superseded superseded superseded unknown_user
	[ "$(jq .summary.deleted "$out")" = 3 ]
	rm -r "$idx"
	mv "$W/away" "$idx"
}

@test "superseded by what can't be read stays" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/$(realpath --relative-to="$W/store" "$diff")" "$diff"
	new=$(find "$stored/$unit" -name 'bundle.*-*' ! -name "${diff##*/}")
	printf 'no bundle' | dd of="$new" conv=notrunc status=none
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 65 -u "$user" --repair
	rows_are '[.drift, .object, .repaired] | join(" ")' "corrupt_bundle ${new##*/} false" 'unknown_user  true'
	[ -e "$diff" ]
}

@test "orphan_diff: contained in another, and no diff at all" {
	with_diffs
	cp -a "$base" "$diff" "$W"
	head -c 100000 /dev/urandom >>"$folder/dovecot.index.log"
	for _ in 1 2; do mc flushall -q >/dev/null; done
	[ ! -e "$base" ]
	mv "$W/${diff##*/}" "$diff"
	found orphan_diff
	is_repaired orphan_diff
	cp "$W/${base##*/}" "$base-0123456789abcdef0123456789abcdef"
	found orphan_diff
	is_repaired orphan_diff
}

@test "orphan_diff that may be all there is of a change stays" {
	with_diffs
	cp -a "$W/store" "$W/before"
	elsewhere
	cp -an "$W/before/." "$W/store"
	# Somebody else's, on a base that was superseded while he wrote.
	other=$(find "$W/store" -path "*${USERS[1]}/mailboxes/*" -name 'bundle.*-*' | head -1)
	rm "$(sed 's/-[0-9a-f]*$//' <<<"$other")"
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 65 -u "${USERS[1]}" --repair
	rows 'select(.drift == "orphan_diff") | "\(.object) \(.repaired) \(.error)"' | grep -q "^${other##*/} false it may hold changes of "
	[ -e "$other" ]
}

@test "corrupt_bundle: only --deep sees it; a new base stands in for it" {
	for which in base diff; do
		with_diffs
		bundle=${!which}
		spoil "$bundle" 60
		verify 0 -A
		deep=--deep found corrupt_bundle
		rows_are .object "${bundle##*/}"
		deep=--deep is_repaired corrupt_bundle
	done
}

@test "corrupt_bundle of a unit that is not here, or not whole here, stays" {
	with_diffs
	spoil "$base" 60
	mc clean -q -p 2 -u "$user" >/dev/null
	mc rescan -q >/dev/null
	deep=--deep found corrupt_bundle
	deep=--deep is_kept corrupt_bundle
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

@test "superseded: listed once more before it is deleted" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	verify 65 -u "$user" --repair -o "obox_index_fs=fault:list@2=fail,list@3=fail,list@4=fail:posix:$W/store"
	rows_are '"\(.drift) \(.repaired)"' 'superseded false' 'superseded false' 'superseded false'
	rows .error | grep -q 'injected: failure$'
	[ -e "$diff" ]
}

# include_itself BUNDLE: its manifest also says that it includes itself.
include_itself() {
	python3 - "$1" <<-'PY'
		import io, json, os, subprocess, sys, tarfile
		path = sys.argv[1]
		tar = subprocess.run(["zstd", "-dc", path], capture_output=True)
		data = tar.stdout if tar.returncode == 0 else open(path, "rb").read()
		out = io.BytesIO()
		with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
		    for member in old:
		        body = old.extractfile(member).read()
		        if member.name == ".manifest.json":
		            manifest = json.loads(body)
		            manifest["includes"].append(os.path.basename(path))
		            body = json.dumps(manifest).encode()
		            member.size = len(body)
		        new.addfile(member, io.BytesIO(body))
		open(path, "wb").write(out.getvalue())
	PY
}

@test "a bundle that says it includes itself is superseded by nobody" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	new=$(find "$stored/$unit" -name 'bundle.*-*' ! -name "${diff##*/}")
	include_itself "$new"
	rm -r "$idx"
	mkdir "$idx"
	verify 0 -u "$user" --repair
	rows_are 'select(.drift == "superseded") | .object' $(cd "$W/before" && find . -path "*$user*" -name 'bundle.*-*' -printf '%f\n')
	[ -e "$new" ]
	[ -e "$base" ]
	[ ! -e "$diff" ]
}
