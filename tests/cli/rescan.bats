#!/usr/bin/env bats
# metacache-rescan: the registry says what is on disk; what could not be read is never forgotten.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 3 flushed
}

totals() { mc rescan -f json "$@" | jq -c '.rescans[0] | del(.duration_ms, .bytes, .discarded, .discarded_important, .suspect)'; }

@test "one row, all numbers; a second run finds nothing new" {
	[ "$(totals)" = '{"users":3,"units":9,"changed":0,"removed":0,"strange":0,"failed":0,"added":0,"corrected":0,"bytes_off":0}' ]
	[ "$(mc rescan -f json | jq '.rescans[0] | map(type == "number") | all')" = true ]
	[ "$(mc rescan -f jsonl | jq '.bytes')" = "$(find "$idx" -type f ! -name '.state*' ! -path '*/.trash/*' -printf '%s\n' | paste -sd+ | bc)" ]
	[ "$(mc rescan | head -1)" = $'users\tunits\tbytes\tchanged\tremoved\tstrange\tfailed\tduration_ms\tadded\tcorrected\tbytes_off\tdiscarded\tdiscarded_important\tsuspect' ]
	[ "$(mc rescan -f tab --field users,failed | tail -1)" = $'3\t0' ]
}

@test "a registry that was deleted comes back the same" {
	mc list >"$BATS_TEST_TMPDIR/want"
	rm "$W"/here/state/users.db*
	bytes=$(find "$idx" -type f ! -name '.state*' ! -path '*/.trash/*' -printf '%s\n' | paste -sd+ | bc)
	[ "$(totals)" = '{"users":3,"units":9,"changed":3,"removed":0,"strange":0,"failed":0,"added":3,"corrected":0,"bytes_off":'$bytes'}' ]
	diff "$BATS_TEST_TMPDIR/want" <(mc list)
}

@test "new, changed and missing homes, and what is nobody's" {
	lost=$(find "$home" -type f ! -name '.state*' -printf '%s\n' | paste -sd+ | bc)
	rm -r "$home"
	echo more >>"$(find "$idx" -path "*${USERS[1]}/dovecot.list.index.log")"
	mkdir "$idx/aa" "$idx/aa/not-hers@example.com"
	touch "$idx/aa/not-hers@example.com/dovecot.list.index.log" "$idx/file"
	[ "$(totals)" = '{"users":2,"units":6,"changed":1,"removed":1,"strange":2,"failed":0,"added":0,"corrected":1,"bytes_off":'$((lost + 5))'}' ]
	[ "$(fields username,changes list | paste -sd' ')" = \
		"${USERS[1]}"$'\timportant '"${USERS[2]}"$'\tnone' ]
	[ -e "$idx/file" ]
	[ -e "$idx/aa/not-hers@example.com" ]
}

@test "a directory that cannot be read is 75, one line, and nobody is forgotten" {
	rm -r "$home"
	broken=$(find "$idx" -mindepth 2 -maxdepth 2 -name "${USERS[1]}")
	mv "$broken/mailboxes" "$W/aside"
	deep="$broken/mailboxes"
	for _ in $(seq 70); do deep+=/d; done
	mkdir -p "$deep"
	touch "$deep/dovecot.index.log"
	says 75 "user \"${USERS[1]}\": mailboxes/d/" rescan -q
	fields username list | grep -qx "$user"
	rm -r "$broken/mailboxes"
	mv "$W/aside" "$broken/mailboxes"
	[ "$(totals | jq .removed)" = 1 ]
	run -1 grep -x "$user" <(fields username list)
}

@test "leftovers in .trash are removed, what was kept is not" {
	mkdir -p "$idx/.trash/0123-left/tree" "$idx/.trash/kept-1/tree"
	touch "$idx/.trash/kept-1/tree/f" "$idx/.trash/0123-left/tree/f"
	mc rescan -q >/dev/null
	[ -e "$idx/.trash/kept-1/tree/f" ]
	[ ! -e "$idx/.trash/0123-left" ]
}

@test "links are not followed: they are strange, and what they lead to is left alone" {
	mkdir -p "$W/outside/mailboxes"
	touch "$W/outside/dovecot.list.index.log"
	mv "$home" "$W/moved"
	ln -s "$W/outside" "$home"
	remember
	[ "$(totals | jq .users)" = 2 ]
	[ "$(totals | jq .strange)" = 1 ]
	untouched
}

@test "a registry that is no database is 65; without a state directory one is made" {
	echo 'this is no database, however long it may be' >"$W/here/state/users.db"
	rm -f "$W"/here/state/users.db-*
	says 65 'file is not a database (delete the file and run metacache-rescan)' rescan
	rm "$W/here/state/users.db"
	mkdir "$W/here/state/users.db"
	mc rescan 2>"$BATS_TEST_TMPDIR/err" && return 1
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	rm -r "$W/here/state"
	mc rescan -q >/dev/null
	[ "$(stat -c %a "$W/here/state")" = 700 ]
}
