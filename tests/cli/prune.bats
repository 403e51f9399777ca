#!/usr/bin/env bats
# metacache-prune: every row of the decision table, with a map for a director; what is kept is kept
# to the byte, what goes is in storage, and why is said.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2 flushed
	other=${USERS[1]}
	MAP=$BATS_TEST_TMPDIR/map
	owned "$user" there "$other" here
	printf 'director = map:%s\n' "$MAP" >>"$W/here/conf"
	age
	mc flushall -q >/dev/null
}

# owned USER HOST …: what the director knows, and nothing else.
owned() { printf '%s\t%s\n' "$@" '' here '' there >"$MAP"; }

# age: nobody was there for 40 days, as far as files, .state and the registry tell. The files have
# other times then, which is a change.
age() {
	find "$idx" -type f \( -name 'dovecot*' -o -name subscriptions \) -exec touch -d '40 days ago' {} +
	age_state
}
age_state() {
	find "$idx" -name .state -exec sed -i 's/"last_access":[0-9]*/"last_access":1700000000/' {} +
	mc rescan -q >/dev/null
}

# plan ARG…: decision, reason, deleted.
plan() { fields decision,reason,deleted prune -q "$@"; }

# stays CODE DECISION REASON TEXT ARG…: exactly that, with --delete and without, one line on stderr
# with TEXT in it (none for ''), and nothing changed.
stays() {
	local code=$1 decision=$2 reason=$3 text=$4 status how
	shift 4
	for how in '' --delete; do
		remember
		status=0
		fields decision,reason,deleted prune $how -q -u "$user" "$@" >"$BATS_TEST_TMPDIR/out" \
			2>"$BATS_TEST_TMPDIR/err" || true
		mc prune $how -q -u "$user" "$@" -f json >"$BATS_TEST_TMPDIR/json.out" 2>/dev/null || status=$?
		[ "$status" = "$code" ] && [ "$(<"$BATS_TEST_TMPDIR/out")" = "$decision"$'\t'"$reason"$'\t'no ] &&
			[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = "$((code != 0))" ] &&
			[[ "$(<"$BATS_TEST_TMPDIR/err")" == *"$text"* ]] && untouched || {
			echo "$how: exit code $status, not $code, or not $decision, $reason with '$text':"
			cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"
			return 1
		}
	done
}

# goes REASON ARG…: planned, without a change; then done, and the rest is as it was.
goes() {
	local reason=$1
	shift
	remember
	[ "$(plan -u "$user" "$@")" = "${PLANNED:-delete	$reason}"$'\tno' ]
	[ "$(plan -n --delete -u "$user" "$@")" = "${PLANNED:-delete	$reason}"$'\tno' ]
	untouched
	tree_of "$idx" | grep -v "/$user/" >"$BATS_TEST_TMPDIR/rest"
	find "$W/store" -type f | sort >"$BATS_TEST_TMPDIR/objects"
	[ "$(plan --delete -u "$user" "$@")" = "delete	$reason	yes" ]
	[ ! -e "$home" ]
	diff "$BATS_TEST_TMPDIR/rest" <(tree_of "$idx")
	no_leftovers
	[ -z "$(fields username list | grep -Fx "$user")" ]
	# Nothing is deleted in storage.
	[ -z "$(comm -23 "$BATS_TEST_TMPDIR/objects" <(find "$W/store" -type f | sort))" ]
}

there() {
	local program=$1
	shift
	"$BIN/metacache-$program" -c "$W/there/conf" "$@"
}

# Another backend has the user and goes on: every unit, or those below PATH.
goes_on_there() {
	local log
	storage_of >/dev/null
	while read -r log; do
		echo "of there" >>"$log"
	done < <(find "$W/there/idx" -path "*$user/${1:-}*" -name '*.index.log')
	there flush -q -u "$user" >/dev/null
}

# What anybody gets from storage of this user.
in_storage() { storage_of | grep "/$user/"; }

@test "unchanged: deleted, the registry forgot it, refresh brings it back" {
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	goes unchanged
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
}

@test "the output: rows, summary, table, JSON Lines" {
	bytes=$(find "$home" -type f ! -name '.state*' -printf '%s\n' | paste -sd+ | bc)
	mc prune -A -f json >"$BATS_TEST_TMPDIR/out"
	access=$(stat -c %Y "$home/dovecot.list.index.log")
	[ "$(jq -c ".users[] | select(.username == \"$user\")" "$BATS_TEST_TMPDIR/out")" = \
		'{"username":"'"$user"'","decision":"delete","reason":"unchanged","deleted":false,"last_access":'"$access"',"host":"there","changes":"none","bytes":'"$bytes"',"lost":null,"kept":null,"error":null}' ]
	[ "$(jq -c ".users[] | select(.username == \"$other\")" "$BATS_TEST_TMPDIR/out")" = \
		'{"username":"'"$other"'","decision":"keep","reason":"here","deleted":false,"last_access":'"$access"',"host":"here","changes":null,"bytes":null,"lost":null,"kept":null,"error":null}' ]
	[ "$(jq -c '.summary | [.users, .asked, .deleted, .bytes, .puts, .lists, .unchanged, .here, .obsolete]' "$BATS_TEST_TMPDIR/out")" = \
		"[2,2,1,$bytes,0,1,1,1,0]" ]
	[ "$(mc prune -A -f jsonl | tail -1 | jq .summary.users)" = 2 ]
	mc prune -A -f table | grep -q "^$user *delete *unchanged *no "
	[ "$(mc prune --delete -A -f json | jq -c '.summary | [.deleted, .bytes]')" = "[1,$bytes]" ]
	[ ! -e "$home" ]
	[ -e "$(find "$idx" -name "$other")" ]
	says_full() { "$BIN/metacache-prune" -c "$W/here/conf" -A >/dev/full 2>&1; }
	run -74 says_full
}

@test "recent: by a file's time, by .state, by the registry; and by how much is asked" {
	rm "$MAP"
	touch -d '29 days ago' "$(find "$home/mailboxes" -name dovecot.index.cache | head -1)"
	mc rescan -q >/dev/null
	stays 0 keep recent ''
	owned "$user" there
	[ "$(plan --older-than 28d -u "$user")" != $'keep\trecent\tno' ]
	age && mc flushall -q >/dev/null
	rm "$MAP"
	# A session that changed nothing.
	sed -i "s/\"last_access\":[0-9]*/\"last_access\":$(date -d '29 days ago' +%s)/" "$home/.state"
	mc rescan -q >/dev/null
	stays 0 keep recent ''
	# What the registry does not know, or knows no better.
	sqlite3 "$W/here/state/users.db" "DELETE FROM users WHERE username='$user'"
	[ "$(plan -u "$user")" = $'keep\trecent\tno' ]
	age && mc flushall -q >/dev/null
	sqlite3 "$W/here/state/users.db" "UPDATE users SET access3=$(date -d '29 days ago' +%s) WHERE username='$user'"
	stays 0 keep recent ''
	# A row that is older than .state.
	mc rescan -q >/dev/null
	owned "$user" there
	sed -i "s/\"last_access\":[0-9]*/\"last_access\":$(date -d '29 days ago' +%s)/" "$home/.state"
	stays 0 keep recent ''
}

@test "a time that is yet to come is recent" {
	touch -d '10 days' "$home/subscriptions"
	mc rescan -q >/dev/null
	stays 0 keep recent ''
}

@test "--startup is a day" {
	find "$home" -type f -name 'dovecot*' -exec touch -d '23 hours ago' {} +
	mc flushall -q >/dev/null
	stays 0 keep recent '' --startup
	find "$home" -type f -name 'dovecot*' -exec touch -d '25 hours ago' {} +
	mc flushall -q >/dev/null
	stays 0 keep recent ''
	goes unchanged --startup
}

@test "a home that the registry does not know is old by what its files say" {
	sqlite3 "$W/here/state/users.db" "DELETE FROM users WHERE username='$user'"
	[ "$(plan -A | sort)" = $'delete\tunchanged\tno\nkeep\there\tno' ]
	goes unchanged
}

@test "here, unknown, and who is in no list" {
	owned "$user" here
	stays 0 keep here ''
	owned "$other" there
	stays 75 keep owner_unknown "1 user is kept, as it is not known to whom they belong"
	: >"$MAP"
	stays 75 keep owner_unknown "as it is not known"
	owned ''
	stays 75 keep owner_unknown "as it is not known"
}

@test "the director does not answer: everybody is kept, which is said once" {
	rm "$MAP"
	remember
	says 75 '2 users are kept, as it is not known to whom they belong; the first: ' prune -q --delete -A
	untouched
	says 75 '2 users are kept, as it is not known to whom they belong' prune -q --delete -A -o director=http://127.0.0.1:1 -o doveadm_api_key=geheim
	no_secret geheim
	untouched
}

@test "no director: 78 once somebody has to be asked for, and only then" {
	remember
	says 78 'director' prune -q --delete -A -o director=
	untouched
	says 78 'backend_host' prune -q --delete -A -o backend_host=
	says 78 'director' prune -q -A -o director=nonsense
	mc prune -q --delete -A -o director= --older-than 1000d >/dev/null
	untouched
}

@test "locked by another program: 75, without waiting" {
	for how in F_WRLCK F_RDLCK; do
		hold_user_locks "$how"
		stays 75 keep locked 'is locked by another program' -o user_lock_timeout=1h
		release
	done
	goes unchanged
}

@test "a session has a file open, for reading or writing: 75" {
	exec 7<"$home/dovecot.list.index.log"
	stays 75 keep session 'a session has the indexes open'
	exec 7<&-
	exec 7>>"$(find "$home/mailboxes" -name dovecot.index.cache | head -1)"
	stays 75 keep session 'a session has the indexes open'
	exec 7>&-
	goes unchanged
}

@test "logged in, or Dovecot can't be asked who is: 75" {
	stays 75 keep session_unknown "" -o doveadm_url=http://127.0.0.1:1 -o doveadm_api_key=x
}

# asked_twice SCRIPT: a director that says "there", and runs SCRIPT when it is asked again, which
# is when all else speaks for deleting. `answer HOST` is its answer then.
asked_twice() {
	cat >"$BATS_TEST_TMPDIR/ask" <<-ASK
		#!/bin/bash
		read -r user
		answer() { printf '\\there\\n%s\\t%s\\n' "\$user" "\$1"; }
		[ -e '$BATS_TEST_TMPDIR/asked' ] || { touch '$BATS_TEST_TMPDIR/asked' && answer there && exit; }
		$1
	ASK
	chmod 755 "$BATS_TEST_TMPDIR/ask"
}
twice() { # CODE ARG…: what is then decided
	local code=$1 status=0
	shift
	rm -f "$BATS_TEST_TMPDIR/asked"
	mc prune -q --delete -u "$user" -o "director=command:$BATS_TEST_TMPDIR/ask" -f json "$@" \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ -e "$BATS_TEST_TMPDIR/asked" ] && [ "$status" = "$code" ] || { echo "exit code $status"; cat "$BATS_TEST_TMPDIR/err"; return 1; }
	jq -r '.users[0] | [.decision, .reason, .deleted] | @tsv' "$BATS_TEST_TMPDIR/out"
}

@test "the director is asked again, and only what it says then counts" {
	remember
	asked_twice 'user=somebody@example.com; answer there'
	[ "$(twice 75)" = $'keep\towner_unknown\tfalse' ]
	untouched
	asked_twice 'answer here'
	[ "$(twice 0)" = $'keep\there\tfalse' ]
	untouched
	asked_twice 'exit 1'
	[ "$(twice 75)" = $'keep\towner_unknown\tfalse' ]
	untouched
	asked_twice 'answer there'
	[ "$(twice 0)" = $'delete\tunchanged\ttrue' ]
	[ ! -e "$home" ]
}

@test "what happens at the last moment: the tree is taken, looked at again, and put back" {
	for what in "echo more >>'$home/dovecot.list.index.log'" "touch '$home/dovecot.new'" "rm '$home/subscriptions'" \
		"mkdir '$home/mailboxes/new'; echo x >'$home/mailboxes/new/dovecot.index.log'" "mkdir '$home/notes'; echo x >'$home/notes/x'"; do
		cp -a "$home" "$BATS_TEST_TMPDIR/copy"
		asked_twice "$what; answer there"
		[ "$(twice 75)" = $'keep\tsession\tfalse' ]
		grep -q 'somebody began to use it just now' "$BATS_TEST_TMPDIR/err"
		[ "$(diff -rq "$home" "$BATS_TEST_TMPDIR/copy" | wc -l)" = 1 ]
		no_leftovers
		rm -rf "$home"
		mv "$BATS_TEST_TMPDIR/copy" "$home"
		age && mc flushall -q >/dev/null
	done
	# Somebody opens it, and only reads.
	asked_twice "sleep 600 <'$home/dovecot.list.index.log' >/dev/null 2>&1 & echo \$! >'$BATS_TEST_TMPDIR/pid'; answer there"
	[ "$(twice 75)" = $'keep\tsession\tfalse' ]
	kill "$(<"$BATS_TEST_TMPDIR/pid")"
	[ -e "$home/dovecot.list.index.log" ]
	# It is gone, or another directory.
	asked_twice "mv '$home' '$W/away'; answer there"
	[ "$(twice 75)" = $'keep\tfailed\tfalse' ]
	mv "$W/away" "$home"
	asked_twice "mv '$home' '$W/away'; mkdir '$home'; echo x >'$home/dovecot.list.index.log'; answer there"
	[ "$(twice 75)" = $'keep\tsession\tfalse' ]
	[ "$(<"$home/dovecot.list.index.log")" = x ]
}

@test "changes that only this backend has: uploaded, verified, deleted; without --delete nothing is uploaded" {
	world_change
	age
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	PLANNED=$'flush\tchanged' goes flushed
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
}

@test "never uploaded: uploaded, verified, deleted" {
	rm -rf "$W/store"/*
	find "$idx" -name '.state*' -delete
	mc rescan -q >/dev/null
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	PLANNED=$'flush\tchanged' goes flushed
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
}

@test "an upload that fails, or is lost, or is not there afterwards: kept, 75" {
	world_change
	age
	for rules in put@2=500 put@*=unavailable put@1=denied put@*=full list@2=500; do
		remember
		status=0
		mc prune -q --delete -u "$user" -f json -o "obox_index_fs=fault:$rules:posix:$W/store" \
			>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
		[ "$status" = 75 ]
		[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
		[ "$(jq -c '.users[0] | [.decision, .deleted]' "$BATS_TEST_TMPDIR/out")" = '["keep",false]' ]
		[ -e "$home" ]
	done
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	# An upload whose reply was lost is found there.
	[ "$(plan --delete -u "$user" -o "obox_index_fs=fault:put@1=lost:posix:$W/store" || true)" != x ]
	[ ! -e "$home" ] || [ "$(plan --delete -u "$user")" = $'delete\tflushed\tyes' ]
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
}

@test "a listing that fails is not one that is empty, and not one that is full: 75" {
	for action in unavailable 500 truncate denied fail; do
		stays 75 keep storage_unknown "$user: " -o "obox_index_fs=fault:list@*=$action:posix:$W/store"
	done
	remember
	says 69 "$W/none: No such file" prune -q --delete -A -o "obox_index_fs=posix:$W/none"
	untouched
}

@test "not in storage any more, not whole, or empty: 65" {
	mkdir "$W/empty"
	stays 65 keep not_in_storage 'not in storage any more' -o "obox_index_fs=posix:$W/empty"
	stays 65 keep not_in_storage 'not in storage any more' -o "obox_index_fs=posix:$W/empty" --discard-important
	truncate -s -1 "$(find "$W/store" -path "*$user/mailboxes/*" -name 'bundle.*' | head -1)"
	stays 65 keep not_in_storage 'not in storage any more, or not whole'
}

@test "a file that is in no bundle: 65, also where an operator discards" {
	mkdir "$home/notes"
	echo mine >"$home/notes/todo"
	touch -d '40 days ago' "$home/notes/todo"
	stays 65 keep foreign_files 'is in no bundle and would be lost' --discard-important
}

@test "obsolete: another backend has gone on, and nothing changed here" {
	goes_on_there
	in_storage >"$BATS_TEST_TMPDIR/whole"
	goes obsolete
	diff "$BATS_TEST_TMPDIR/whole" <(in_storage)
}

@test "obsolete, but the newer bundle can't be got: kept, 75" {
	diffs_here
	storage_of >/dev/null
	world_change there
	there flush -q -u "$user" >/dev/null
	for action in unavailable 500 denied notfound truncate short; do
		stays 75 keep storage_unknown "$user: " -o "obox_index_fs=fault:get@*=$action:posix:$W/store"
	done
	goes obsolete
}

@test "nothing is deleted in storage, not even what an upload supersedes" {
	diffs_here
	world_change
	age
	objects=$(find "$W/store" -type f | wc -l)
	[ "$(plan --delete -u "$user" -o "obox_index_fs=fault:delete@*=kill:posix:$W/store")" = $'delete\tflushed\tyes' ]
	[ "$(find "$W/store" -type f | wc -l)" -gt "$objects" ]
}

@test "obsolete in one unit only, and two steps ahead" {
	goes_on_there mailboxes
	there flush -q -u "$user" >/dev/null
	echo "of there again" >>"$(find "$W/there/idx" -path "*$user/mailboxes/*" -name '*.index.log' | head -1)"
	there flush -q -u "$user" >/dev/null
	goes obsolete
}

@test "obsolete with unimportant changes" {
	mkdir "$home/fts-flatcurve"
	head -c 9000 /dev/urandom >"$home/fts-flatcurve/x"
	mc flushall -q >/dev/null
	storage_of >/dev/null
	echo more >>"$(find "$W/there/idx" -path "*$user/fts-flatcurve/x")"
	there flush -q -u "$user" >/dev/null
	echo more here >>"$home/fts-flatcurve/x"
	touch -d '40 days ago' "$home/fts-flatcurve/x"
	age_state
	mc prune -u "$user" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[0] | [.decision, .changes]' "$BATS_TEST_TMPDIR/out")" = '["delete","unimportant"]' ]
	goes obsolete
}

@test "obsolete with important changes: 65, both kept; --discard-important names what is lost" {
	goes_on_there
	in_storage >"$BATS_TEST_TMPDIR/whole"
	world_change
	age
	stays 65 keep conflict 'both are kept (metacache-prune --discard-important gives up the one here'
	goes discarded --discard-important
	diff "$BATS_TEST_TMPDIR/whole" <(in_storage)
}

@test "--discard-important: lost has each unit, and why" {
	goes_on_there mailboxes
	log=$(find "$home/mailboxes" -name dovecot.index.log | head -1)
	echo changed >>"$log"
	touch -d '40 days ago' "$log"
	mc rescan -q >/dev/null
	mc prune --discard-important -u "$user" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -r '.users[0].lost' "$BATS_TEST_TMPDIR/out")" = "${log:$((${#home} + 1)):-18}: there was no log at the upload" ]
	mc prune --delete --discard-important -u "$user" -f json >"$BATS_TEST_TMPDIR/done"
	[ "$(jq -r '.users[0] | [.lost, .deleted] | @tsv' "$BATS_TEST_TMPDIR/done")" = \
		"$(jq -r '.users[0].lost' "$BATS_TEST_TMPDIR/out")"$'\ttrue' ]
}

@test "with a conflict in one unit, what is in no conflict is uploaded before the rest is given up" {
	goes_on_there mailboxes
	world_change
	age
	root=$(sha256sum <"$home/dovecot.list.index.log")
	[ "$(plan --discard-important -u "$user")" = $'flush\tchanged\tno' ]
	PLANNED=$'flush\tchanged' goes discarded --discard-important
	storage_of >/dev/null
	[ "$(sha256sum <"$(find "$W/there/idx" -path "*$user/dovecot.list.index.log")")" = "$root" ]
}

# Bundles of a user, without those that are diffs where that is asked for.
bases_of() { find "$W/store" -path "*/$user/*" -name 'bundle.*' ! -name '*-*'; }
diffs_of() { find "$W/store" -path "*/$user/*" -name 'bundle.*-*'; }

# Here has uploaded diffs D1 on the bases that there has, too.
diffs_here() {
	storage_of >/dev/null
	world_change
	age
	mc flush -q -u "$user" >/dev/null
	mkdir "$W/away"
	diffs_of >"$W/away/list"
	[ -s "$W/away/list" ]
}
take_away() { while read -r diff; do mv "$diff" "$W/away/${diff##*/}"; done <"$W/away/list"; }
bring_back() { while read -r diff; do cp "$W/away/${diff##*/}" "$diff"; done <"$W/away/list"; }

@test "two writers' bundles in storage, neither contains the other: a conflict, although all of it was uploaded" {
	diffs_here
	take_away
	world_change there
	there flush -q -u "$user" >/dev/null
	bring_back
	stays 65 keep conflict "another writer's bundle does not contain it"
}

@test "what was uploaded from here is still listed, but a newer bundle says that it contains it: obsolete" {
	diffs_here
	while read -r diff; do cp "$diff" "$W/away/${diff##*/}"; done <"$W/away/list"
	storage_of >/dev/null
	world_change there
	there flush -q -u "$user" >/dev/null
	bring_back
	goes obsolete
}

@test "a newer base that stands in for that from here: obsolete, whether that is still listed or not" {
	storage_of >/dev/null
	mkdir "$W/away"
	bases_of >"$W/away/list"
	while read -r base; do cp "$base" "$W/away/${base##*/}"; done <"$W/away/list"
	world_change there
	there flush -q --overwrite -u "$user" >/dev/null
	[ "$(bases_of | wc -l)" = 3 ]
	[ "$(plan -u "$user")" = $'delete\tobsolete\tno' ]
	bring_back
	[ "$(bases_of | wc -l)" = 6 ]
	goes obsolete
}

@test "the newer bundle is damaged, or of another unit, and what was here is in no other: kept, 75" {
	diffs_here
	storage_of >/dev/null
	world_change there
	there flush -q -u "$user" >/dev/null
	diffs_of >"$W/newer"
	cp "$(head -1 "$W/newer")" "$W/good"
	head -c 999 /dev/urandom >"$(head -1 "$W/newer")"
	stays 75 keep storage_unknown ''
	cp "$(tail -1 "$W/newer")" "$(head -1 "$W/newer")"
	stays 75 keep storage_unknown 'of another unit'
	: >"$(head -1 "$W/newer")"
	stays 75 keep storage_unknown '' --discard-important
	cp "$W/good" "$(head -1 "$W/newer")"
	goes obsolete
}

@test "only a diff without its base is left in storage: kept, 75, whatever an operator says" {
	goes_on_there
	bases_of | xargs rm
	stays 75 keep storage_unknown 'storage has only a diff whose base is gone' --discard-important
}

@test "a refresh that was cut short: 75" {
	sed -i 's/"refresh":/"installing":"bundle.0.00000.00000000000000000000000000000000","refresh":/' "$home/.state"
	stays 75 keep refresh_cut_short 'a refresh was cut short (metacache-refresh finishes it)'
}

@test "of several reasons, the one that decides is explained" {
	goes_on_there
	world_change
	age
	rm "$(bases_of | grep /mailboxes/ | head -1)"
	stays 75 keep storage_unknown 'storage has only a diff whose base is gone' --discard-important
	bases_of | grep /mailboxes/ | xargs rm
	stays 75 keep storage_unknown 'storage has only a diff whose base is gone' --discard-important
}

@test "a torn .state: a conflict with what is in storage, which an operator decides" {
	echo '{' >"$home/.state"
	stays 65 keep conflict 'never uploaded from here, and storage has a newer bundle'
}

@test "last written when the host crashed: nothing is uploaded; what matters is kept in .trash, unless an operator gives it up" {
	for how in '' --discard-important; do
		users 1
		owned "$user" there
		printf 'director = map:%s\n' "$MAP" >>"$W/here/conf"
		world_crash
		tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
		remember
		[ "$(plan --older-than 0 -u "$user")" = $'delete\tcrashed\tno' ]
		untouched
		find "$W/store" -type f | sort >"$BATS_TEST_TMPDIR/objects"
		mc prune -q --delete $how --older-than 0 -u "$user" -f json >"$BATS_TEST_TMPDIR/out"
		[ "$(jq -r '.users[0] | [.decision, .reason, .deleted, .changes] | @tsv' "$BATS_TEST_TMPDIR/out")" = $'delete\tcrashed\ttrue\timportant' ]
		[[ "$(jq -r '.users[0].lost' "$BATS_TEST_TMPDIR/out")" == "root indexes: "*"; mailboxes/"*"; mailboxes/"* ]]
		[ ! -e "$home" ]
		find "$W/store" -type f | sort | diff "$BATS_TEST_TMPDIR/objects" -
		kept=$(jq -r '.users[0].kept' "$BATS_TEST_TMPDIR/out")
		if [ -z "$how" ]; then
			diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$kept")
			mc flushall -q >/dev/null
			[ -e "$kept/.state" ]
		else
			[ "$kept" = null ]
			no_leftovers
		fi
		mc refresh -q -u "$user" >/dev/null
		[ "$(tree_of "$home" | wc -l)" = "$(wc -l <"$BATS_TEST_TMPDIR/whole")" ]
	done
}

@test "last written when the host crashed, and not in storage: kept" {
	users 1
	owned "$user" there
	printf 'director = map:%s\n' "$MAP" >>"$W/here/conf"
	world_crash
	rm -r "$W"/store/*
	stays 65 keep not_in_storage 'not in storage any more' --older-than 0 --discard-important
}

@test "--limit: no more than so many" {
	users 4 flushed
	printf 'director = map:%s\n' "$MAP" >>"$W/here/conf"
	{ printf '\there\n' && printf '%s\tthere\n' "${USERS[@]}"; } >"$MAP"
	age && mc flushall -q >/dev/null
	[ "$(plan --limit 3 -A | sort | uniq -c | tr -s ' ')" = $' 3 delete\tunchanged\tno\n 1 keep\tlimit\tno' ]
	mc prune -q --delete --limit 3 -A -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.summary | [.deleted, .limit]' "$BATS_TEST_TMPDIR/out")" = '[3,1]' ]
	[ "$(find "$idx" -mindepth 2 -maxdepth 2 -name '*@*' | wc -l)" = 1 ]
	mc prune -q --delete --limit 0 -A >/dev/null
	[ -z "$(tree_of "$idx")" ]
}

@test "-u, -F, a mask, -A; unknown users are 67, names that are none 64" {
	[ "$(mc prune -q -A -f tab --field username | tail -n +2 | sort)" = "$(printf '%s\n' "${USERS[@]}")" ]
	[ "$(fields username prune -q "${user%@*}@*")" = "$user" ]
	[ "$(printf '%s\n' "$user" | fields username prune -q -F -)" = "$user" ]
	remember
	says 67 'nobody@example.com: no such user in the metacache' prune -q --delete -u nobody@example.com
	says 64 'which users? -u USER, -F FILE, a mask or -A' prune
	says 64 'leave out -u and -F' prune -u "$user" '*'
	says 64 'leave out -u and -F' prune -u "$user" -A
	says 64 '' prune -q --delete -u ../../etc
	says 64 "--older-than \"1\" is missing units" prune -A --older-than 1
	says 64 '--startup is --older-than 1d' prune -A --older-than 1d --startup
	says 64 'expected a number' prune -A --limit x
	untouched
}

@test "a home that is a link is not followed" {
	mv "$home" "$W/elsewhere"
	ln -s "$W/elsewhere" "$home"
	remember
	status=0
	mc prune -q --delete -u "$user" >/dev/null 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" != 0 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	untouched
}

@test "an empty home" {
	rm -rf "$home"
	mkdir "$home"
	remember
	[ "$(plan --delete -u "$user")" = $'keep\tno_indexes\tno' ]
	untouched
}

@test "-v logs what was done" {
	mc prune --delete -v -u "$user" 2>&1 >/dev/null | grep -q "metacache_user_prune_finished user=$user decision=delete reason=unchanged deleted=yes"
}
