#!/usr/bin/env bats
# metacache-remove: rows go, files never.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 4 flushed
	db=$W/here/state/users.db
}

names() { fields username list | paste -sd' '; }

@test "a name, a mask, several; no file is touched, here or in storage" {
	remember
	[ "$(fields username,result,present remove "$user")" = "$user"$'\tremoved\tyes' ]
	[ "$(names)" = "${USERS[*]:1}" ]
	[ "$(fields username remove '*1@*' 'user00000[2]*' 'user00000?@example.com' "${USERS[3]}" 2>/dev/null | paste -sd' ')" = \
		"${USERS[*]:1}" ]
	[ "$(names)" = "" ]
	untouched
}

@test "* is everyone; a present home comes back with the next rescan, one that is gone does not" {
	rm -r "$home"
	[ "$(mc remove -f json '*' | jq -c '[.users[] | .present]')" = '[false,true,true,true]' ]
	[ "$(names)" = "" ]
	mc rescan -q >/dev/null
	[ "$(names)" = "${USERS[*]:1}" ]
}

@test "alternative names go with the user and are not matched" {
	sqlite3 "$db" "INSERT INTO aliases VALUES ('$user', 'user_id', '4711')"
	says 67 '4711: no such user in the metacache' remove 4711
	[ "$(names)" = "${USERS[*]}" ]
	mc remove "$user" >/dev/null
	[ "$(sqlite3 "$db" 'SELECT count(*) FROM aliases')" = 0 ]
}

@test "--dry-run says the same and removes nothing" {
	mc remove -n '*' -f json >"$BATS_TEST_TMPDIR/plan"
	[ "$(names)" = "${USERS[*]}" ]
	mc remove '*' -f json | diff "$BATS_TEST_TMPDIR/plan" -
}

@test "a mask is required; one that matches nobody is 67, and the others are done" {
	says 64 'which users? A name, or a mask with * or ?' remove
	says 67 'nobody*: no such user in the metacache' remove 'nobody*'
	[ "$(mc list -f json | jq '.users | length')" = 4 ]
	says 67 'nobody: no such user in the metacache' remove nobody "$user"
	grep -q "^$user" "$BATS_TEST_TMPDIR/out"
	[ "$(names)" = "${USERS[*]:1}" ]
	says 67 ': no such user in the metacache' remove ''
	says 67 'nobody' remove -f json nobody
	[ "$(jq -c . "$BATS_TEST_TMPDIR/out")" = '{"users":[]}' ]
}

@test "a row of what can be no user is said, and goes as well" {
	sqlite3 "$db" "UPDATE users SET username = '../x' WHERE username = '$user'"
	remember
	says 64 '../x: user name "../x"' remove -f json '../*'
	[ "$(jq -c '.users[0] | [.result, .present]' "$BATS_TEST_TMPDIR/out")" = '["removed",null]' ]
	[ "$(names)" = "${USERS[*]:1}" ]
	untouched
}

@test "a registry that is no good is 65; one that is written to is waited for" {
	python3 - "$db" 3>&- <<-'PY' >"$BATS_TEST_TMPDIR/held" &
		import sqlite3, sys, time
		db = sqlite3.connect(sys.argv[1], isolation_level=None)
		db.execute("BEGIN IMMEDIATE")
		print("held", flush=True)
		time.sleep(1)
		db.execute("COMMIT")
	PY
	for _ in $(seq 200); do [ ! -s "$BATS_TEST_TMPDIR/held" ] || break; sleep 0.02; done
	[ "$(fields result remove "$user")" = removed ]
	wait $!
	echo 'this is no database, however long it may be' >"$db"
	rm -f "$db"-*
	says 65 'file is not a database (delete the file and run metacache-rescan)' remove '*'
}

@test "a hundred thousand rows go in seconds" {
	sqlite3 "$db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		INSERT INTO users SELECT 'gone' || i, root, 0, 0, 300, 1, 0, 0, 0, 0, 0, 0, 0, 0, '', zeroblob(16), 0, NULL, 0, 0
		FROM n, users WHERE username = '$user'"
	[ "$(timeout 60 "$BIN/metacache-remove" -q -c "$W/here/conf" --no-header -f tab 'gone*' | wc -l)" = 100000 ]
	[ "$(names)" = "${USERS[*]}" ]
}
