#!/usr/bin/env bats
# metacache-clean: what is in storage may go, everything else stays, and why is said.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2 flushed
}

# stays CODE TEXT ARG…: refused like that, and nothing changed.
stays() {
	remember
	says "$1" "$2" clean -q "${@:3}"
	untouched
}

@test "cleaned: rows as text and JSON, the tree is gone, the registry forgot it, refresh brings it back" {
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	bytes=$(find "$home" -type f ! -name '.state*' -printf '%s\n' | paste -sd+ | bc)
	[ "$(mc clean -u "$user" -f json | jq -c .)" = \
		'{"users":[{"username":"'"$user"'","result":"cleaned","units":3,"bytes":'"$bytes"',"error":null}]}' ]
	[ ! -e "$home" ]
	no_leftovers
	[ "$(fields username list)" = "${USERS[1]}" ]
	[ "$(mc clean -u "${USERS[1]}" -f tab | cut -f1-3)" = $'username\tresult\tunits\n'"${USERS[1]}"$'\tcleaned\t3' ]
	[ "$(bundles)" = 6 ]
	mc refresh -q -u "$user" -u "${USERS[1]}" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
}

@test "unknown users are 67, also those who were cleaned" {
	mc clean -q -u "$user" >/dev/null
	stays 67 "$user: no such user in the metacache" -u "$user"
}

@test "never uploaded, changed since, or gone from storage: 65, dirty, and nothing is removed" {
	rm "$home/.state"
	stays 65 'root indexes: was never uploaded (metacache-flush uploads it)' -u "$user" --field result -f tab
	[ "$(tail -1 "$BATS_TEST_TMPDIR/out")" = dirty ]
	world_change
	stays 65 'has changes that are not uploaded (metacache-flush uploads it)' -u "${USERS[1]}"
	mc flushall -q >/dev/null
	rm "$(find "$W/store" -path "*${USERS[1]}/mailboxes/*" -name 'bundle.*' | head -1)"
	stays 65 'its bundle is not in storage any more' -u "${USERS[1]}"
}

@test "an object that is not as long as what was uploaded is no bundle" {
	truncate -s -1 "$(find "$W/store" -path "*$user/mailboxes/*" -name 'bundle.*' | head -1)"
	stays 65 'its bundle is not in storage any more, or not whole' -u "$user"
}

@test "an object of no bytes is no bundle" {
	: >"$(find "$W/store" -path "*$user/mailboxes/*" -name 'bundle.*' | head -1)"
	stays 65 'its bundle is not in storage any more' -u "$user"
}

@test "a file that is in no bundle would be lost: 65" {
	mkdir "$home/notes"
	echo mine >"$home/notes/todo"
	stays 65 'is in no bundle and would be lost (move it out' -u "$user"
	ln -s /etc/passwd "$(find "$idx" -name "${USERS[1]}")/link"
	stays 65 'is in no bundle and would be lost (move it out' -u "${USERS[1]}"
}

@test "a session has a file open, for reading or writing: 75" {
	exec 7<"$home/dovecot.list.index.log"
	stays 75 'a session has the indexes open' -u "$user" --field result -f tab
	[ "$(tail -1 "$BATS_TEST_TMPDIR/out")" = busy ]
	exec 7<&-
	exec 7>>"$(find "$home/mailboxes" -name dovecot.index.cache | head -1)"
	stays 75 'a session has the indexes open' -u "$user"
	exec 7>&-
	[ "$(fields result clean -u "$user")" = cleaned ]
}

@test "a user who is locked by another program: 75, without waiting" {
	hold_user_locks
	stays 75 "user \"$user\" is locked by another program (try again" -u "$user" -o user_lock_timeout=1h
	release
	[ "$(fields result clean -u "$user")" = cleaned ]
}

@test "-n says what would be done" {
	remember
	[ "$(fields result,units,bytes clean -n -u "$user")" = $'cleaned\t3\t'"$(jq -n "$(find "$home" -type f ! -name '.state*' -printf '%s+')0")" ]
	untouched
}

@test "-d: only users not accessed for so long" {
	[ "$(fields result,units clean -d 1 -u "$user")" = $'nothing\t0' ]
	[ -e "$home" ]
	find "$home" -type f -exec touch -d '10 days ago' {} +
	mc flush -q -u "$user" >/dev/null
	[ "$(fields result clean -d 11 -u "$user")" = nothing ]
	[ "$(fields result clean --days 9 -u "$user")" = cleaned ]
	says 64 'expected a number from 0 to 36500' clean -d 36501 -u "$user"
	says 64 'expected a number from 0 to 36500' clean -d '' -u "$user"
}

@test "-p: only folders; the root indexes stay, and storage is not told that folders are gone" {
	[ "$(fields result,units clean -p 2 -u "$user")" = $'cleaned\t2' ]
	[ -e "$home/dovecot.list.index.log" ]
	[ -z "$(find "$home/mailboxes" -name 'dovecot.index*')" ]
	[ "$(fields result clean -p 3 -u "$user")" = nothing ]
	mc flush -q -u "$user" >/dev/null
	[ "$(bundles)" = 6 ]
	[ "$(fields result,created refresh -u "$user")" = $'created\t2' ]
}

@test "a listing that fails is not one that is empty, and not one that is full" {
	stays 69 "$W/none: No such file" -A -o "obox_index_fs=posix:$W/none"
	mkdir "$W/empty"
	stays 65 'its bundle is not in storage any more' -u "$user" -o "obox_index_fs=posix:$W/empty"
	for action in unavailable 500 truncate denied fail; do
		case $action in unavailable | 500) code=69 ;; truncate) code=65 ;; denied) code=77 ;; fail) code=74 ;; esac
		stays $code "$user: " -u "$user" -o "obox_index_fs=fault:list@*=$action:posix:$W/store"
	done
}

@test "a home that is a link is not followed" {
	mv "$home" "$W/elsewhere"
	ln -s "$W/elsewhere" "$home"
	remember
	status=0
	mc clean -q -u "$user" >/dev/null 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" != 0 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	untouched
}

# accessed USER SECONDS-AGO: as the registry knows it.
accessed() {
	local at=$(($(date +%s) - $2))
	sqlite3 "$W/here/state/users.db" "UPDATE users SET access0=$at, access2=0, access3=$at WHERE username='$1'"
}
used() { sqlite3 "$W/here/state/users.db" 'SELECT sum(bytes0 + bytes1 + bytes2 + bytes3) FROM users'; }
limit() {
	mc clean -A --max-space -o 'metacache_priority_weights=100% +1d 10% +1d 50% +1h 100% 0' -o "metacache_max_space=$@"
}

@test "--max-space: the lowest weight goes first, folders before root indexes, and no more than needed" {
	users 4 flushed
	accessed "${USERS[0]}" 10
	accessed "${USERS[1]}" 9000000
	accessed "${USERS[2]}" 20
	accessed "${USERS[3]}" 8000000
	before=$(used)
	[ "$(limit "${before}B" -f json | jq -c .users)" = '[]' ]
	remember
	[ "$(limit "$((before - 1))B" -n -f json | jq -r '.users[].username')" = "${USERS[1]}" ]
	untouched
	limit "$((before - 1))B" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[] | [.username, .result, .units]' "$BATS_TEST_TMPDIR/out")" = "[\"${USERS[1]}\",\"cleaned\",2]" ]
	[ "$(jq -c '.summary | [.before, .after, .users, .units, .flushed, .passed]' "$BATS_TEST_TMPDIR/out")" = \
		"[$before,$(used),1,2,0,0]" ]
	[ "$(used)" -lt "$before" ]
	# Its root indexes are worth a day more than that; then comes the next user.
	accessed "${USERS[1]}" 8000100
	sqlite3 "$W/here/state/users.db" "UPDATE users SET access3=0 WHERE username='${USERS[1]}'"
	limit "$(($(used) - 1))B" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[] | [.username, .units]' "$BATS_TEST_TMPDIR/out")" = "[\"${USERS[3]}\",2]" ]
	accessed "${USERS[1]}" 8000100
	accessed "${USERS[3]}" 10
	sqlite3 "$W/here/state/users.db" "UPDATE users SET access3=0 WHERE username='${USERS[1]}'"
	limit "$(($(used) - 1))B" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[] | [.username, .units]' "$BATS_TEST_TMPDIR/out")" = "[\"${USERS[1]}\",1]" ]
	[ "$(fields username list | sort | paste -sd' ')" = "${USERS[0]} ${USERS[2]} ${USERS[3]}" ]
}

@test "--max-space: what has changes is flushed first" {
	world_change
	mc rescan -q >/dev/null
	accessed "$user" 9000000
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	limit "$(($(used) - 1))B" -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[] | [.username, .result, .units]' "$BATS_TEST_TMPDIR/out")" = "[\"$user\",\"cleaned\",2]" ]
	[ "$(jq '.summary.flushed' "$BATS_TEST_TMPDIR/out")" = 2 ]
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
	# Also when the registry did not know of them.
	world_change
	tree_of "$home" >"$BATS_TEST_TMPDIR/whole"
	accessed "$user" 9000000
	sqlite3 "$W/here/state/users.db" 'UPDATE users SET changes = 0'
	[ "$(limit "$(($(used) - 1))B" -f json | jq -c '.summary | [.users, .flushed]')" = '[1,2]' ]
	mc refresh -q -u "$user" >/dev/null
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$home")
}

@test "--max-space: who is busy or in conflict is passed over, and others go" {
	accessed "$user" 9000000
	exec 7<"$(find "$home/mailboxes" -name dovecot.index.log | head -1)"
	limit "$(($(used) - 1))B" -f json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	[ "$(jq -c '.users[] | [.username, .result]' "$BATS_TEST_TMPDIR/out" | paste -sd' ')" = \
		"[\"$user\",\"busy\"] [\"${USERS[1]}\",\"cleaned\"]" ]
	[ "$(jq -c '.summary.passed' "$BATS_TEST_TMPDIR/out")" = 1 ]
	# Not all of it can go.
	run -75 --separate-stderr limit 1B -q
	[[ "$stderr" == *"bytes are used still, metacache_max_space is 1 (what could not be cleaned now"* ]]
	exec 7<&-
	limit 1B -q >/dev/null
	[ -z "$(tree_of "$idx")" ]
}

@test "--max-space: -p and -d leave out what they leave out" {
	accessed "$user" 9000000
	run -75 limit 1B -q -p 2
	[ -z "$(tree_of "$idx" | grep /mailboxes/)" ]
	[ "$(tree_of "$idx" | wc -l)" -gt 0 ]
	mc refresh -q -u "$user" >/dev/null
	find "$idx" -path "*${USERS[1]}/*" -type f -exec touch -d '40 days ago' {} +
	mc flushall -q >/dev/null
	run -75 limit 1B -q -d 30
	[ ! -e "$(find "$idx" -mindepth 2 -maxdepth 2 -name "${USERS[1]}")" ]
	[ "$(tree_of "$idx" | grep -c "${USERS[0]}/mailboxes")" -gt 0 ]
}

@test "--max-space: where storage has newer indexes and nothing would be lost, those are fetched and cleaned" {
	mkdir "$home/fts-flatcurve"
	head -c 30000 /dev/urandom >"$home/fts-flatcurve/x"
	mc flushall -q >/dev/null
	storage_of >/dev/null
	there=$(find "$W/there/idx" -mindepth 2 -maxdepth 2 -name "$user")
	head -c 30000 /dev/urandom >>"$there/fts-flatcurve/x"
	"$BIN/metacache-flush" -q -c "$W/there/conf" -u "$user" >/dev/null
	tree_of "$W/there/idx" >"$BATS_TEST_TMPDIR/whole"
	echo more >>"$home/fts-flatcurve/x"
	mc rescan -q >/dev/null
	limit 1B -q -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.summary | [.after, .users, .passed]' "$BATS_TEST_TMPDIR/out")" = '[0,2,0]' ]
	[ -z "$(tree_of "$idx")" ]
	diff "$BATS_TEST_TMPDIR/whole" <(storage_of)
}

@test "--max-space: before and after differ by what was removed, whatever the registry said of it" {
	for said in 1000000000 1; do
		mc refresh -q -u "$user" >/dev/null
		mc rescan -q >/dev/null
		accessed "$user" 9000000
		other=$(sqlite3 "$W/here/state/users.db" "SELECT sum(bytes0+bytes1+bytes2+bytes3) FROM users WHERE username<>'$user'")
		sqlite3 "$W/here/state/users.db" "UPDATE users SET access3=0, access1=0, access2=0, bytes3=0, bytes2=0, bytes1=0, bytes0=$said WHERE username='$user'"
		limit "${other}B" -f json >"$BATS_TEST_TMPDIR/out"
		[ "$(jq -c '.summary | [.before - .after, .after, .users]' "$BATS_TEST_TMPDIR/out")" = \
			"[$(jq '[.users[].bytes] | add' "$BATS_TEST_TMPDIR/out"),$other,1]" ]
		[ "$(used)" = "$other" ]
	done
}

@test "--max-space: a registry without a rescan in metacache_rescan_interval is warned of" {
	overdue() { limit 1G 2>&1 >/dev/null | grep -c ' metacache_rescan_overdue.*run metacache-rescan' || true; }
	[ "$(overdue)" = 0 ]
	sqlite3 "$W/here/state/users.db" "UPDATE notes SET value=$(($(date +%s) - 90000)) WHERE name='last_rescan'"
	[ "$(overdue)" = 1 ]
	limit 1G -q -o metacache_rescan_interval=2d 2>"$BATS_TEST_TMPDIR/err" >/dev/null
	[ ! -s "$BATS_TEST_TMPDIR/err" ]
	sqlite3 "$W/here/state/users.db" "DELETE FROM notes WHERE name='last_rescan'"
	[ "$(overdue)" = 1 ]
}

@test "--max-space: wrong uses" {
	stays 64 '--max-space is for all users: it needs -A' -u "$user" --max-space -o metacache_max_space=1G
	stays 78 'metacache_max_space is 0, which is no limit' -A --max-space
}

@test "--max-space: a row without a home is forgotten, and no use of space" {
	rm -rf "$home"
	limit 1B -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.users[] | [.username, .result]' "$BATS_TEST_TMPDIR/out" | sort -u)" = "[\"${USERS[1]}\",\"cleaned\"]" ]
	[ "$(jq .summary.after "$BATS_TEST_TMPDIR/out")" = 0 ]
	[ -z "$(fields username list)" ]
}
