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
	[ "$(fields result clean -n -A | sort -u)" = cleaned ]
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
