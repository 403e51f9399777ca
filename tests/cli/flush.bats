#!/usr/bin/env bats
# metacache-flush: goldens, what is uploaded and what costs nothing, conflicts, locks, listings that
# fail.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2
}

# of PROGRAM ARG…: the one row, without what differs from run to run.
of() { mc "$@" -f json | jq -c '.users[0] | del(.duration_ms)'; }

@test "rows and summary: uploaded, then unchanged without a request" {
	mc flush -u "$user" -f json >"$BATS_TEST_TMPDIR/out"
	bytes=$(find "$W/store" -name 'bundle.*' -printf '%s\n' | paste -sd+ | bc)
	diff <(jq -cS 'del(.. | .duration_ms?)' "$BATS_TEST_TMPDIR/out") <(jq -cS . <<-END
		{"users":[{"username":"$user","result":"uploaded","uploaded":3,"unchanged":0,"skipped":0,"obsolete":0,"conflicts":0,"busy":0,
		"failed":0,"bytes":$bytes,"error":null}],
		"summary":{"users":1,"flushed":1,"conflicts":0,"busy":0,"failed":0,"uploaded":3,"unchanged":0,"skipped":0,"obsolete":0,
		"bytes":$bytes,"deleted":0,"requests":4,"retries":0,"puts":3,"lists":1,"deletes":0}}
	END
	)
	[ "$(jq '[.users[0].duration_ms, .summary.duration_ms | type] | unique' -c "$BATS_TEST_TMPDIR/out")" = '["number"]' ]
	mc flush -u "$user" -f jsonl >"$BATS_TEST_TMPDIR/out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 2 ]
	[ "$(jq -s '.[1] | .summary // . | .requests' "$BATS_TEST_TMPDIR/out")" = 0 ]
	[ "$(of flush -u "$user")" = \
		'{"username":"'"$user"'","result":"unchanged","uploaded":0,"unchanged":3,"skipped":0,"obsolete":0,"conflicts":0,"busy":0,"failed":0,"bytes":0,"error":null}' ]
	# Only that user's: the other one is nobody's business here.
	[ "$(bundles)" = 3 ]
}

@test "tab and --field" {
	[ "$(mc flush -u "$user" | head -1)" = \
		$'username\tresult\tuploaded\tunchanged\tskipped\tobsolete\tconflicts\tbusy\tfailed\tbytes\tduration_ms\terror' ]
	[ "$(fields result,username,unchanged flush -u "$user")" = $'unchanged\t'"$user"$'\t3' ]
	says 64 'no such field: "x" (fields: username result uploaded' flush -u "$user" --field x
}

@test "small changes are uploaded as diffs; each stands in for the one before" {
	counts() { mc flush -A -f json | jq -c '.summary | [.users, .flushed, .uploaded, .deleted]'; }
	mc flush -q -A >/dev/null
	world_change
	[ "$(counts)" = '[2,2,6,0]' ]
	[ "$(bundles)" = 12 ]
	storage_is_tidy
	diff <(tree_of "$idx") <(storage_of)
	world_change
	[ "$(counts)" = '[2,2,6,6]' ]
	[ "$(bundles)" = 12 ]
	storage_is_tidy
	diff <(tree_of "$idx") <(storage_of)
	# Another backend goes on from base and diff.
	echo changed >>"$(find "$W/there/idx/" -path "*$user/dovecot.list.index.log")"
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	storage_is_tidy
	grep -q -- - <(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' -printf '%f\n')
}

@test "what is large against its base is a new base, and supersedes all" {
	mc flush -q -A >/dev/null
	while read -r log; do
		head -c 8000 /dev/urandom >>"$log"
	done < <(find "$idx" -name '*.index.log')
	# Another backend may be putting a diff on the old base just now: it goes with the next flush.
	[ "$(mc flush -A -f json | jq -c '.summary | [.uploaded, .deleted, .requests]')" = '[6,0,8]' ]
	[ "$(bundles)" = 12 ]
	diff <(tree_of "$idx") <(storage_of)
	[ "$(mc flush -A -f json | jq -c '.summary | [.uploaded, .deleted, .lists]')" = '[0,6,2]' ]
	[ "$(bundles)" = 6 ]
	[ "$(mc flush -A -f json | jq -c '.summary.requests')" = 0 ]
	diff <(tree_of "$idx") <(storage_of)
}

@test "a replaced base stays while what replaced it is not in storage: that is uploaded again" {
	mc flush -q -A >/dev/null
	folder=$(find "$home/mailboxes" -mindepth 1 -maxdepth 1 | head -n 1)
	stored=$(find "$W/store" -path "*/mailboxes/${folder##*/}/idx")
	head -c 8000 /dev/urandom >>"$folder/dovecot.index.log"
	mc flush -q -A >/dev/null
	[ "$(ls "$stored" | wc -l)" = 2 ]
	rm "$stored/$(jq -r .base "$folder/.state")"
	[ "$(fields uploaded flush -u "$user")" = 1 ]
	diff <(tree_of "$idx") <(storage_of)
}

@test "bundles that were deleted long ago and are listed again: known, here and elsewhere, and deleted again" {
	mc flush -q -A >/dev/null
	cp -a "$W/store" "$W/seen"
	for i in $(seq 6); do
		echo more >>"$home/dovecot.list.index.log"
		[ $i != 3 ] || head -c 8000 /dev/urandom >>"$home/dovecot.list.index.log"
		mc flush -q -u "$user" >/dev/null
		cp -an "$W/store/." "$W/seen"
	done
	storage_of >/dev/null
	again() { cp -an "$W/seen/." "$W/store"; }
	again
	stored=$(find "$W/store" -path "*$user/idx" -type d)
	[ "$(ls "$stored" | wc -l)" = 7 ]
	[ "$(fields result refresh -u "$user")" = refreshed_unchanged ]
	there=$W/there/conf
	[ "$("$BIN/metacache-refresh" -u "$user" -c "$there" -f tab --field result | tail -1)" = refreshed_unchanged ]
	# A backend that has nothing of the user yet.
	diff <(tree_of "$idx" | grep "$user") <(storage_of | grep "$user")
	[ "$(fields result,uploaded flush -u "$user")" = $'unchanged\t0' ]
	run -65 --separate-stderr mc verify -u "$user" -f json
	[ "$(jq -r '.drifts[].drift' <<<"$output" | sort | uniq -c | xargs)" = "5 superseded" ]
	echo more >>"$home/dovecot.list.index.log"
	[ "$(fields result,uploaded flush -u "$user")" = $'uploaded\t1' ]
	mc flush -q -u "$user" >/dev/null
	[ "$(ls "$stored" | wc -l)" = 2 ]
	# The other backend goes on, and they are no business of its own either.
	"$BIN/metacache-refresh" -q -u "$user" -c "$there" >/dev/null
	again
	echo more >>"$(find "$W/there/idx/" -path "*$user/dovecot.list.index.log")"
	"$BIN/metacache-flush" -q -u "$user" -c "$there" >/dev/null
	[ "$(ls "$stored" | wc -l)" = 2 ]
}

@test "without .state.blocks, or with a damaged one, it is a base" {
	mc flush -q -A >/dev/null
	rm "$home/.state.blocks"
	for blocks in "$home"/mailboxes/*/.state.blocks; do printf x >>"$blocks"; done
	world_change
	mc flush -u "$user" -f json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	[ "$(jq -c '.summary | [.uploaded, .deleted]' "$BATS_TEST_TMPDIR/out")" = '[3,0]' ]
	[ "$(find "$W/store" -name 'bundle.*-*')" = '' ]
	[ "$(grep -c 'warning metacache_blocks_unreadable' "$BATS_TEST_TMPDIR/err")" = 2 ]
}

@test "-n says what would be done, and changes nothing" {
	remember
	[ "$(fields result,uploaded flush -n -u "$user")" = $'uploaded\t3' ]
	untouched
	[ "$(bundles)" = 0 ]
	mc flush -q -A >/dev/null
	world_change
	remember
	[ "$(fields result,uploaded flush --dry-run -u "$user")" = $'uploaded\t3' ]
	untouched
}

@test "-p: only units of this priority and below" {
	[ "$(fields uploaded flush -p 3 -u "$user")" = 2 ]
	[ "$(fields uploaded,unchanged flush --priority 1 -u "$user")" = $'0\t2' ]
	[ "$(find "$W/store" -name 'bundle.*' ! -path '*/mailboxes/*' | wc -l)" = 0 ]
	[ "$(fields uploaded,unchanged flush -p 0 -u "$user")" = $'1\t2' ]
}

@test "-i: every change counts as important for now" {
	[ "$(fields uploaded flush -i -u "$user")" = 3 ]
	world_change
	[ "$(fields uploaded flush --important -u "$user")" = 3 ]
}

@test "unknown users are 67, and the others are done" {
	says 67 'nobody@example.com: no such user in the metacache' flush -q -u nobody@example.com -u "$user" -f tab --field username,result
	[ "$(paste -sd' ' <"$BATS_TEST_TMPDIR/out")" = $'username\tresult nobody@example.com\tfailed '"$user"$'\tuploaded' ]
	[ "$(bundles)" = 3 ]
}

# Another backend goes on with what this one flushed, and both change.
conflict() {
	mc flush -q -A >/dev/null
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	world_change
}

@test "a conflict is 65: nothing is written, and the way out is said; --overwrite takes it" {
	conflict
	remember
	says 65 'changed here, and storage has bundle.' flush -q -u "$user" -f json
	grep -q 'metacache-refresh --discard-important takes the one in storage, metacache-flush --overwrite the one here' \
		"$BATS_TEST_TMPDIR/err"
	[ "$(jq -c '.users[0] | [.result, .conflicts, .uploaded]' "$BATS_TEST_TMPDIR/out")" = '["conflict",3,0]' ]
	[ "$(jq -c '.summary | [.conflicts, .flushed, .puts, .deletes]' "$BATS_TEST_TMPDIR/out")" = '[1,0,0,0]' ]
	untouched
	[ "$(fields result,uploaded flush --overwrite -A | sort -u)" = $'uploaded\t3' ]
	diff <(tree_of "$idx") <(storage_of)
}

@test "a user who is locked by another program is 75, after the time that is set, and again works" {
	hold_user_locks
	remember
	says 75 "$user: user \"$user\" is locked by another program (try again" \
		flush -q -u "$user" -o user_lock_timeout=200ms --field result -f tab
	[ "$(tail -1 "$BATS_TEST_TMPDIR/out")" = busy ]
	untouched
	release
	[ "$(fields result flush -u "$user")" = uploaded ]
}

@test "a log that Dovecot keeps locked is 75: that unit waits, the others are done" {
	log=$(find "$home/mailboxes" -name dovecot.index.log | head -1)
	hold "$log" 0 0
	says 75 'stayed locked by Dovecot (it is tried again' flush -q -u "$user" -o index_lock_timeout=200ms -f json
	grep -q "mailboxes/$(basename "$(dirname "$log")")" "$BATS_TEST_TMPDIR/err"
	[ "$(jq -c '.users[0] | [.result, .busy, .uploaded]' "$BATS_TEST_TMPDIR/out")" = '["busy",1,2]' ]
	release
	[ "$(fields result,uploaded,unchanged flush -u "$user")" = $'uploaded\t1\t2' ]
	diff <(tree_of "$home") <(storage_of >/dev/null && tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "a slow storage keeps nothing of Dovecot locked" {
	sink_start
	users 1
	fault "kind=put count=0 do=slow=60000"
	mc flush -q -u "$user" >/dev/null 2>&1 3>&- &
	upload=$!
	for _ in $(seq 500); do [ "$(sink_counter .put.requests)" -lt 2 ] || break; sleep 0.02; done
	find "$home" -name 'dovecot.index*' -print0 | xargs -0 python3 -c '
import fcntl, sys
for name in sys.argv[1:]:
    fcntl.lockf(open(name, "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB)'
	kill -0 "$upload"
	kill "$upload"
	wait "$upload" || true
}

@test "a failing listing is not an empty one" {
	conflict
	remember
	says 69 "$W/none: No such file" flush -q -u "$user" -o "obox_index_fs=posix:$W/none"
	untouched
	for action in unavailable 500 truncate denied fail; do
		case $action in unavailable | 500) code=69 ;; truncate) code=65 ;; denied) code=77 ;; fail) code=74 ;; esac
		says $code "$user: " flush -q -u "$user" -o "obox_index_fs=fault:list@*=$action:posix:$W/store"
		untouched
	done
}

@test "a .state that is torn: what storage has decides" {
	mc flush -q -A >/dev/null
	echo torn >"$home/.state"
	remember
	# Nobody knows whether the root indexes are newer or older than what storage has.
	run mc flush -u "$user" -q -f tab --field result
	[[ "$status" = 0 || "$status" = 65 ]]
	[ "$(bundles)" -ge 6 ]
	storage_of >/dev/null
}

# ---- an upload that timed out and lands late, and a clock that was set back in between ----

# tried_ahead KIND [ARG]…: a try that fails, made while the clock was an hour ahead; $late is the
# name that it had.
tried_ahead() {
	local kind=$1
	shift
	run -74 --separate-stderr mc flush -q -u "$user" -o "obox_index_fs=fault:put@*=fail:posix:$W/store" "$@"
	late=$(python3 - "$home/.state" $kind <<-'PY'
		import json, sys
		state = json.load(open(sys.argv[1]))
		state["tried"] += 3600 * 10**9
		json.dump(state, open(sys.argv[1], "w"))
		ns, us = state["tried"], state["tried"] // 1000
		if sys.argv[2] == "diff":
		    print(f'{state["base"]}-{state["next"][:16]}{ns:016x}')
		else:
		    print(f'bundle.{us // 10**6:x}.{us % 10**6:05x}.{state["next"]}')
	PY
	)
	stored=$(find "$W/store" -path "*$user/idx" -type d)
	lists=$(ls "$stored")
}
# It lands, after the one that stands in for it.
lands_late() {
	cp "$stored/$(ls "$stored" | grep -vxF "$lists" | tail -1)" "$stored/$late"
	echo more >>"$home/dovecot.list.index.log"
	for _ in 1 2; do mc flush -q -u "$user" >/dev/null; done
	[ ! -e "$stored/$late" ]
	[ "$(mc flush -u "$user" -f json | jq -c '[.users[0].result, .summary.requests]')" = '["unchanged",0]' ]
	diff <(tree_of "$home") <(storage_of >/dev/null && tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "a diff that lands late is contained in the one after it, also after the clock was set back" {
	mc flush -q -A >/dev/null
	echo more >>"$home/dovecot.list.index.log"
	tried_ahead diff
	mc flush -q -u "$user" >/dev/null
	[[ "$(jq -r '.diffs[0]' "$home/.state")" > "$late" ]]
	[ "$(jq .tried "$home/.state")" = null ]
	lands_late
}

@test "a base that lands late, the same" {
	mc flush -q -A >/dev/null
	echo more >>"$home/dovecot.list.index.log"
	tried_ahead base --overwrite
	mc flush -q -u "$user" --overwrite >/dev/null
	[[ "$(jq -r .base "$home/.state")" > "$late" ]]
	lands_late
}

# ---- a folder that was deleted, and one of the same id that is made again ----

# deleted: the user's folder is in storage and on the backend `there`, and deleted here.
deleted() {
	mc flush -q -A >/dev/null
	storage_of >/dev/null
	folder=$(find "$home/mailboxes" -name dovecot.index.log -printf '%h\n' | sort | head -1)
	there=$W/there${folder#"$W/here"}
	id=${folder##*/}
	stored=$(find "$W/store" -path "*$user/mailboxes/$id/idx" -type d)
	rm -r "$folder"
	mc flush -u "$user" -f json >"$BATS_TEST_TMPDIR/out"
}
# make_again FOLDER: as Dovecot makes a new one.
make_again() {
	mkdir -p "$1"
	echo new >"$1/dovecot.index.log"
	echo index >"$1/dovecot.index"
}
there() {
	local program=$1
	shift
	"$BIN/metacache-$program" -q -c "$W/there/conf" -u "$user" "$@" >/dev/null
}

@test "a deleted folder: the root indexes say so, with what storage had of it, at the cost of no request" {
	deleted
	[ "$(jq -c '.summary | [.uploaded, .lists, .puts]' "$BATS_TEST_TMPDIR/out")" = '[1,1,1]' ]
	[ "$(jq -c '[.gone, .gone_bundles]' "$home/.state")" = '[["'"$id"'"],{"'"$id"'":["'"$(ls "$stored")"'"]}]' ]
	there refresh
	[ ! -e "$there" ]
	[ "$(jq -c .gone_bundles "${there%/mailboxes/*}/.state")" = "$(jq -c .gone_bundles "$home/.state")" ]
	# Many mails in the same place: it is asked for by itself.
	rm -r "$home"/mailboxes/*
	(cd "${stored%/idx}" && touch mail{1..1001})
	[ "$(mc flush -u "$user" -f json | jq .summary.lists)" = 3 ]
	[ "$(jq '.gone_bundles | map_values(length) | [.[]] | add' "$home/.state")" = 2 ]
}

@test "made again here: it stands in for what was there" {
	deleted
	old=$(ls "$stored")
	make_again "$folder"
	[ "$(fields result,uploaded flush -u "$user")" = $'uploaded\t2' ]
	[ ! -e "$stored/$old" ]
	[ "$(jq -c '[.gone, .gone_bundles]' "$home/.state")" = '[null,null]' ]
	diff <(tree_of "$home") <(storage_of >/dev/null && tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "made again elsewhere first: a conflict, also when the root indexes were uploaded since" {
	deleted
	there refresh
	make_again "$there"
	echo theirs >>"$there/dovecot.index.log"
	there flush -p 2
	theirs=$(ls "$stored")
	[ "$(wc -l <<<"$theirs")" = 1 ]
	# A later upload, which is of something else.
	echo more >>"$home/dovecot.list.index.log"
	[ "$(fields uploaded flush -u "$user")" = 1 ]
	make_again "$folder"
	for _ in 1 2; do
		says 65 "mailboxes/$id changed here, and storage has $theirs of another writer" flush -q -u "$user" -p 2
		[ "$(ls "$stored")" = "$theirs" ]
		[ "$(fields conflicts list "$user")" = 1 ]
	done
}

@test "made again, and killed before the root indexes say so: it is no old one" {
	deleted
	make_again "$folder"
	mc flush -q -u "$user" -p 2 >/dev/null
	[ "$(jq -c .gone "$home/.state")" = '["'"$id"'"]' ]
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
	[ "$(fields changes list "$user")" = important ]
	[ "$(fields result,uploaded flush -u "$user")" = $'uploaded\t1' ]
	[ "$(jq -c .gone "$home/.state")" = null ]
	storage_of >/dev/null
	[ "$(cat "$there/dovecot.index.log")" = new ]
}

@test "left over elsewhere, and older than what was deleted: it does not come back" {
	mc flush -q -A >/dev/null
	storage_of >/dev/null
	cp -a "$W/there" "$W/elsewhere"
	world_change
	mc flush -q -A --overwrite >/dev/null
	tree_of "$W/there/idx" >/dev/null
	folder=$(find "$home/mailboxes" -name dovecot.index.log -printf '%h\n' | sort | head -1)
	there=$W/there${folder#"$W/here"}
	rm -r "$folder"
	mc flush -q -u "$user" >/dev/null
	# It has a change of its own, so it is not removed; and it is not uploaded as if it was new.
	echo mine >>"$there/dovecot.index.log"
	there refresh || [ $? = 65 ]
	[ -e "$there" ]
	there flush || [ $? = 65 ]
	[ "$(jq -c .gone "${there%/mailboxes/*}/.state")" = '["'"${folder##*/}"'"]' ]
	[ "$(find "$W/store" -path "*$user/mailboxes/${folder##*/}/idx/*" | wc -l)" = 1 ]
}

@test "deleted according to an older program, which did not note the bundles: a conflict, never a guess" {
	deleted
	python3 - "$home/.state" <<-'PY'
		import json, sys
		state = json.load(open(sys.argv[1]))
		del state["gone_bundles"]
		json.dump(state, open(sys.argv[1], "w"))
	PY
	make_again "$folder"
	says 65 "mailboxes/$id changed here" flush -q -u "$user"
	[ "$(ls "$stored" | wc -l)" = 1 ]
	[ "$(fields uploaded flush --overwrite -u "$user" -p 2)" = 2 ]
}
