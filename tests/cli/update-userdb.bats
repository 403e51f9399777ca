#!/usr/bin/env bats
# metacache-update-userdb against answers that are good, wrong or none. A user for whom there is no
# good one keeps its names.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 4
	db=$W/here/state/users.db
	rules=$BATS_TEST_TMPDIR/rules
	: >"$rules"
	"$CLI_DIR/doveadm-standin" "$rules" >"$BATS_TEST_TMPDIR/url" 3>&- &
	holder=$!
	for _ in $(seq 500); do [ ! -s "$BATS_TEST_TMPDIR/url" ] || break; sleep 0.02; done
	printf 'doveadm_url = %s\ndoveadm_api_key = testkey\n' "$(<"$BATS_TEST_TMPDIR/url")" >>"$W/here/conf"
}

# rule USER ANSWER, or rule '!fault'
rule() { (IFS=$'\t' && echo "$*") >>"$rules"; }
all() { for u in "${USERS[@]}"; do rule "$u" "{\"uid\":\"5000\",\"user_id\":\"id-${u%@*}\"}"; done; }
aliases() { sqlite3 "$db" "SELECT username || ' ' || field || '=' || value FROM aliases ORDER BY 1" | paste -sd' '; }
results() { fields username,result update-userdb "$@" | sed 's/@[^\t]*//; s/\t/=/' | paste -sd' '; }

@test "updated, unchanged, changed, gone; all in one request" {
	all
	[ "$(results)" = "user000000=updated user000001=updated user000002=updated user000003=updated" ]
	[ "$(<"$rules.log")" = 4 ]
	[ "$(fields user_id list | paste -sd' ')" = "id-user000000 id-user000001 id-user000002 id-user000003" ]
	: >"$rules"
	rule "${USERS[0]}" '{"user_id":"id-user000000"}'
	rule "${USERS[1]}" '{"user_id":"id-user000001","user_alt":"x"}'
	rule "${USERS[2]}" '{"uid":"1"}'
	rule "${USERS[3]}" '{"user_id":"other"}'
	[ "$(results)" = "user000000=unchanged user000001=updated user000002=updated user000003=updated" ]
	[ "$(aliases)" = "${USERS[0]} user_id=id-user000000 ${USERS[1]} user_alt=x ${USERS[1]} user_id=id-user000001 ${USERS[3]} user_id=other" ]
	[ "$(mc update-userdb -f json | jq -c '[.summary | .users, .unchanged, .updated, .unknown, .failed]')" = '[4,4,0,0,0]' ]
	mc update-userdb -f jsonl | tail -1 | jq -e '.summary.duration_ms >= 0' >/dev/null
}

@test "what is no alternative name: other fields, empty ones, names that need quoting" {
	rule "$user" '{"uid":"1","user":"renamed","user_":"a","user_empty":"","user_a b":"c","user_a,b":"c","user_ok":"ü \"\t\u0001"}'
	[ "$(mc update-userdb -f json "$user" | jq -c '.users[0] | [.result, .aliases]')" = '["updated",1]' ]
	[ "$(mc list -f json --field user_ok "$user" | jq -c '.users[0]')" = '{"user_ok":"ü \"\t\u0001"}' ]
	[ "$(mc list -f json "$user" | jq -r '.users[0] | keys[] | select(startswith("user_"))')" = user_ok ]
}

@test "--dry-run: asked, said, not stored" {
	all
	mc update-userdb -n -f json | jq -c .users >"$BATS_TEST_TMPDIR/plan"
	[ "$(aliases)" = "" ]
	mc update-userdb -f json | jq -c .users | diff "$BATS_TEST_TMPDIR/plan" -
}

@test "who is asked for: a mask, -u; not both" {
	all
	[ "$(results 'user00000[0-9]*')" = "" ]
	[ ! -e "$rules.log" ]
	[ "$(results '*[12]@*')" = "" ]
	[ "$(results '*2@*')" = "user000002=updated" ]
	[ "$(results -u "${USERS[3]}" -u "${USERS[1]}")" = "user000003=updated user000001=updated" ]
	says 64 '-u or a mask, not both' update-userdb -u a b
	[ "$(mc update-userdb -f json nobody | jq -c '[.users, .summary.users]')" = '[[],0]' ]
}

@test "unknown to userdb: kept; 67 only if it was asked for by name" {
	all
	mc update-userdb -q >/dev/null
	: >"$rules"
	rule "${USERS[1]}" '{"user_id":"id-user000001"}'
	before=$(aliases)
	[ "$(results)" = "user000000=unknown user000001=unchanged user000002=unknown user000003=unknown" ]
	[ "$(aliases)" = "$before" ]
	says 67 "$user: no such user in the userdb" update-userdb -u "$user" -u "${USERS[1]}" -f json
	[ "$(jq -c '[.users[].result]' "$BATS_TEST_TMPDIR/out")" = '["unknown","unchanged"]' ]
	[ "$(aliases)" = "$before" ]
	says 67 'nobody: no such user in the metacache' update-userdb -u nobody -u "${USERS[1]}" -f json
	[ "$(jq -c '[.users[].result]' "$BATS_TEST_TMPDIR/out")" = '["unchanged"]' ]
}

@test "no answer for one: 75, the others are done" {
	all
	rule "$user" tempfail
	says 75 "$user: userdb gave no answer (doveadm's exit code 75)" update-userdb -f json
	[ "$(jq -c '[.users[].result]' "$BATS_TEST_TMPDIR/out")" = '["failed","updated","updated","updated"]' ]
	[ "$(jq -c '.summary | [.failed, .updated]' "$BATS_TEST_TMPDIR/out")" = '[1,3]' ]
	sqlite3 "$db" "UPDATE users SET username = 'm*sk' WHERE username = '${USERS[3]}'"
	says 75 "m*sk: doveadm can't be asked for such a name" update-userdb -q 'm*'
}

@test "one user's answer that is no text spoils its own only" {
	all
	rule "${USERS[2]}" $'{"user_id":"\xff"}'
	says 75 "${USERS[2]}: ask http" update-userdb -f json
	[ "$(jq -c '[.users[].result]' "$BATS_TEST_TMPDIR/out")" = '["updated","updated","failed","updated"]' ]
	# The whole, the halves, the quarters of the bad half.
	[ "$(paste -sd' ' "$rules.log")" = "4 2 2 1 1" ]
	rule "${USERS[2]}" '{"user_id":7}'
	says 75 "${USERS[2]}: ask http" update-userdb
	rule "${USERS[2]}" '[]'
	says 75 "${USERS[2]}: ask http" update-userdb
}

@test "answers that are mixed up or too few are nobody's" {
	all
	rule '!swap'
	# Asked again one by one, each gets its own.
	[ "$(results -u "${USERS[0]}" -u "${USERS[1]}")" = "user000000=updated user000001=updated" ]
	[ "$(paste -sd' ' "$rules.log")" = "2 1 1" ]
	[ "$(aliases)" = "${USERS[0]} user_id=id-user000000 ${USERS[1]} user_id=id-user000001" ]
	rule '!short'
	sed -i '/!swap/d; s/id-/new-/' "$rules"
	before=$(aliases)
	mc update-userdb >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" && return 1
	[ "$(grep -c ': ask http' "$BATS_TEST_TMPDIR/err")" = 4 ]
	[ "$(aliases)" = "$before" ]
}

@test "a service that is away, refuses, breaks off or talks nonsense: nothing is stored, nobody forgotten" {
	all
	mc update-userdb -q >/dev/null
	before=$(aliases)
	for u in "${USERS[@]}"; do rule "$u" '{"user_id":"new"}'; done
	for fault in '500 69' '401 77' 'close 69'; do
		rule "!${fault% *}"
		says "${fault#* }" "ask http" update-userdb -f json
		[ "$(jq -c '[.summary.users, .summary.updated, .users]' "$BATS_TEST_TMPDIR/out")" = '[4,0,[]]' ]
		sed -i '$d' "$rules"
		no_secret testkey
		[ "$(aliases)" = "$before" ]
	done
	rule '!nonsense'
	mc update-userdb >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" && return 1
	[ "$(grep -c ': ask http' "$BATS_TEST_TMPDIR/err")" = 4 ]
	[ "$(aliases)" = "$before" ]
	# It does not go on like this for a million users.
	sqlite3 "$db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
		INSERT INTO users SELECT 'many' || i, root, 0, 0, 300, 1, 0, 0, 0, 0, 0, 0, 0, 0, '', zeroblob(16), 0, NULL, 0, 0
		FROM n, users WHERE username = '$user'"
	: >"$rules.log"
	mc update-userdb 'many*' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" && return 1
	[ "$(wc -l <"$rules.log")" -lt 60 ]
	[ "$(tail -n +2 "$BATS_TEST_TMPDIR/out" | wc -l)" = 20 ]
	sqlite3 "$db" "DELETE FROM users WHERE username LIKE 'many%'"
	says 69 'ask http://127.0.0.1:1' update-userdb -o doveadm_url=http://127.0.0.1:1
	[ "$(aliases)" = "$before" ]
}

@test "settings: without doveadm_url it is 78, without a key as well" {
	sed -i '/^doveadm_url/d' "$W/here/conf"
	says 78 'doveadm_url is not set' update-userdb
	sed -i '/^doveadm_api_key/d' "$W/here/conf"
	says 78 'doveadm_api_key is not' update-userdb -o doveadm_url=http://127.0.0.1:1
}

@test "a stdout that takes nothing is 74" {
	all
	for format in flow pager tab table json jsonl; do
		code=0
		"$BIN/metacache-update-userdb" -c "$W/here/conf" -f $format >/dev/full 2>"$BATS_TEST_TMPDIR/err" || code=$?
		[ "$code" = 74 ]
		[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	done
}

@test "many users: 500 in a request" {
	sqlite3 "$db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
		INSERT INTO users SELECT 'many' || i, root, 0, 0, 300, 1, 0, 0, 0, 0, 0, 0, 0, 0, '', zeroblob(16), 0, NULL, 0, 0
		FROM n, users WHERE username = '$user'"
	[ "$(mc update-userdb -f json 'many*' | jq .summary.unknown)" = 1300 ]
	[ "$(paste -sd' ' "$rules.log")" = "500 500 300" ]
}
