#!/usr/bin/env bats
# metacache-flushall: goldens, masks, settled users, and partial failures.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 3
}

summary() { mc flushall "$@" -f json | jq -c '.summary | [.users, .flushed, .uploaded, .requests]'; }

@test "rows only for users with something to tell; the summary has all numbers" {
	mc flushall -f json >"$BATS_TEST_TMPDIR/out"
	bytes=$(find "$W/store" -name 'bundle.*' -printf '%s\n' | paste -sd+ | bc)
	diff <(jq -cS '.summary | del(.duration_ms)' "$BATS_TEST_TMPDIR/out") <(jq -cS . <<-END
		{"users":3,"flushed":3,"conflicts":0,"busy":0,"failed":0,"uploaded":9,"unchanged":0,"skipped":0,"obsolete":0,"bytes":$bytes,
		"deleted":0,"requests":12,"retries":0,"puts":9,"lists":3,"deletes":0}
	END
	)
	[ "$(jq -c '[.users[] | [.username, .result, .uploaded]] | sort' "$BATS_TEST_TMPDIR/out")" = \
		"$(printf '["%s","uploaded",3],' "${USERS[@]}" | sed 's/^/[/; s/,$/]/')" ]
	[ "$(jq -c '[.summary[] | type] | unique' "$BATS_TEST_TMPDIR/out")" = '["number"]' ]
	[ "$(mc flushall -f json | jq -c '[.users, .summary.users, .summary.requests]')" = '[[],3,0]' ]
	[ "$(mc flushall -f tab)" = \
		$'username\tresult\tuploaded\tunchanged\tskipped\tobsolete\tconflicts\tbusy\tfailed\tbytes\tduration_ms\terror' ]
	# The example of the manual page.
	[ "$(mc flushall -f json '*@example.com' | jq .summary.users)" = 3 ]
}

@test "masks" {
	[ "$(summary '*2@example.com')" = '[1,1,3,4]' ]
	[ "$(summary 'nobody*')" = '[0,0,0,0]' ]
	[ "$(summary 'user00000?@*')" = '[3,2,6,8]' ]
}

@test "-n changes nothing, -p and -i select" {
	remember
	[ "$(mc flushall -n -f json | jq -c '.summary | [.uploaded, .puts]')" = '[9,0]' ]
	untouched
	[ "$(mc flushall -p 2 -f json | jq .summary.uploaded)" = 6 ]
	[ "$(mc flushall -i -f json | jq .summary.uploaded)" = 3 ]
}

@test "settled users are not opened again, and without a registry it is only slower" {
	mc flushall -q >/dev/null
	rm "$W"/here/state/users.db*
	[ "$(summary)" = '[3,0,0,0]' ]
	echo 'this is no database, however long it may be' >"$W/here/state/users.db"
	rm -f "$W"/here/state/users.db-*
	[ "$(summary)" = '[3,0,0,0]' ]
}

@test "some users busy: 75, one line each, and the rest is done" {
	hold "$home/dovecot.list.index.log" 0 0
	says 75 "$user: root indexes: dovecot.list.index.log stayed locked by Dovecot" \
		flushall -q -o index_lock_timeout=200ms -f json ||
		says 75 "$user: root indexes: dovecot.index.log stayed locked by Dovecot" \
			flushall -q -o index_lock_timeout=200ms -f json
	[ "$(jq -c '.summary | [.users, .busy, .failed]' "$BATS_TEST_TMPDIR/out")" = '[3,1,0]' ]
	[ "$(bundles)" = 8 ]
	release
	[ "$(summary)" = '[3,1,1,2]' ]
}

@test "a conflict is 65, the others are done" {
	mc flushall -q >/dev/null
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" "$user" >/dev/null
	world_change
	says 65 "$user: " flushall -q -f json
	[ "$(jq -c '.summary | [.conflicts, .flushed, .failed]' "$BATS_TEST_TMPDIR/out")" = '[1,2,0]' ]
	[ "$(jq -r '.users[] | select(.result == "conflict").username' "$BATS_TEST_TMPDIR/out")" = "$user" ]
}

@test "every user locked: 75, nothing written" {
	hold_user_locks
	remember
	status=0
	mc flushall -q -f json -o user_lock_timeout=100ms >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = 75 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 3 ]
	[ "$(jq .summary.busy "$BATS_TEST_TMPDIR/out")" = 3 ]
	untouched
}

@test "a user with a home in two roots: said, and nothing is done for that user" {
	second=${home/\/here\//\/there\/}
	rm -rf "$W/there/idx"
	mkdir -p "$second"
	cp -a "$home/." "$second"
	sed -i "s|^mail_home = .*|mail_home = %2Mu/%u\nmetacache_roots = $idx $W/there/idx|" "$W/here/conf"
	for command in "flush -u $user" "clean -u $user" "refresh -u $user"; do
		says 65 "there are two homes, $home and $second (nothing is done for this user until one" \
			$command -q
	done
	[ "$(bundles)" = 0 ]
	mc flushall -q -f json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = 65 ]
	grep -q "^metacache-flushall: $user: there are two homes" "$BATS_TEST_TMPDIR/err"
	# Once, whichever root it was found in.
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	[ "$(jq -c '.summary | [.users, .flushed, .uploaded, .failed]' "$BATS_TEST_TMPDIR/out")" = '[3,2,6,1]' ]
	[ "$(jq -c '[.users[].username] | sort' "$BATS_TEST_TMPDIR/out")" = \
		"$(printf '%s\n' "${USERS[@]}" | jq -Rsc 'split("\n")[:-1] | sort')" ]
	mc rescan -q -f json 2>"$BATS_TEST_TMPDIR/err" >"$BATS_TEST_TMPDIR/out" || status=$?
	grep -q "two homes" "$BATS_TEST_TMPDIR/err"
	[ "$(jq -c '.rescans[0] | [.users, .failed]' "$BATS_TEST_TMPDIR/out")" = '[2,1]' ]
	mc verify -q -A -f json 2>"$BATS_TEST_TMPDIR/err" >"$BATS_TEST_TMPDIR/out" || status=$?
	[ "$(jq -c '[.drifts[] | select(.username == "'"$user"'") | .drift]' "$BATS_TEST_TMPDIR/out")" = '["error"]' ]
	rm -rf "$second"
	[ "$(summary)" = '[3,1,3,4]' ]
}

@test "a night: 1,000 users of whom 100 changed cost 100 listings, 100 uploads and a deletion of many" {
	"$GENTREE" "$idx" 1000 1 --small >/dev/null
	mc flushall -q >/dev/null
	for night in 1 2; do
		for log in $(find "$idx" -name dovecot.index.log | sort | head -100); do
			printf 'night %s' $night >>"$log"
		done
		mc flushall -f json >"$BATS_TEST_TMPDIR/out"
		jq -e --argjson deletes $((night - 1)) '.summary | [.users, .flushed, .uploaded, .lists, .puts, .deletes] ==
			[1000, 100, 100, 100, 100, $deletes]' "$BATS_TEST_TMPDIR/out"
		jq -e '.summary.bytes < 100 * 800' "$BATS_TEST_TMPDIR/out"
	done
	[ "$(jq .summary.deleted "$BATS_TEST_TMPDIR/out")" = 100 ]
	[ "$(summary)" = '[1000,0,0,0]' ]
}
