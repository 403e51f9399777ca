#!/usr/bin/env bats
# metacache-status: the tables, the document, Prometheus' text, and the Nagios plugin.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 3 flushed
	db=$W/here/state/users.db
	# Known figures: those of the generated trees depend on time and file system.
	sqlite3 "$db" "UPDATE users SET bytes0=1024, bytes1=0, bytes2=20480, bytes3=1000000,
		access0=1700000000, access1=0, access2=1700000001, access3=1700000002, changes=0, unflushed=0;
		UPDATE users SET changes=2, unflushed=1700000100, conflicts=2 WHERE username LIKE '%1@%';
		UPDATE users SET obsolete=3 WHERE username LIKE '%2@%';
		UPDATE users SET changes=1, bytes2=0, access2=0 WHERE username LIKE '%2@%';
		DELETE FROM notes WHERE name LIKE 'requests%' OR name LIKE 'bytes%';
		INSERT INTO notes SELECT 'requests_' || column1, 5 FROM (VALUES ('put'), ('get'), ('head'), ('list'), ('delete'));
		INSERT INTO notes SELECT replace(name, 'requests', 'bytes'), 7 FROM notes WHERE name LIKE 'requests_%'"
	now=$(date +%s)
}
note() { sqlite3 "$db" "INSERT OR REPLACE INTO notes VALUES ('$1', $2)"; }
no_conflicts() { sqlite3 "$db" "UPDATE users SET conflicts = 0"; }
unflushed() { sqlite3 "$db" "UPDATE users SET unflushed = $((now - $1)) WHERE changes = 2"; }

@test "tables: the whole, priorities, roots, requests, the last rescan" {
	note last_rescan 1700000000
	note rescan_corrected 4
	note rescan_bytes_off 2048
	TZ=UTC mc status -f table -o metacache_max_space=4M >"$BATS_TEST_TMPDIR/out"
	diff - <(sed -n '1,9p' "$BATS_TEST_TMPDIR/out") <<-END
		users  bytes-used  max-space  used  max-grace  none  unimportant  important  unflushed-since      conflicts  obsolete
		    3        2.9M       4.0M   73%       1.0G     1            1          1  2023-11-14 22:15:00          2         3

		priority  indexes         users  bytes-used  used  limit
		       0  root                3        3.0K    0%    10%
		       1  FTS                 0           0    0%    10%
		       2  INBOX and Junk      2         40K    1%    50%
		       3  other folders       3        2.9M   72%   100%

	END
	grep -Eq "^$idx +3 +2.9M +[0-9.]+[KMGT] +[0-9.]+[KMGT]$" "$BATS_TEST_TMPDIR/out"
	diff - <(tail -10 "$BATS_TEST_TMPDIR/out") <<-END

		request  count  bytes
		put          5      7
		get          5      7
		head         5      7
		list         5      7
		delete       5      7

		last-rescan          added  corrected  removed  bytes-off
		2023-11-14 22:13:20      3          4        0       2.0K
	END
	# Without a limit there is nothing to be a part of.
	[ "$(mc status -f tab | sed -n 2p | cut -f 1-5)" = $'3\t3044032\t\t\t1073741824' ]
	# What is free changes while we look.
	diff <(mc status | grep -v "^$idx") <(mc status -f tab | grep -v "^$idx")
	[ "$(mc status -f flow | head -1 | cut -d' ' -f1)" = "users=3" ]
	[ "$(mc status -f pager | head -1)" = "users: 3" ]
}

@test "json and jsonl: one document" {
	mc status -f json -o metacache_max_space=4M >"$BATS_TEST_TMPDIR/out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 1 ]
	[ "$(jq -c '[.users, .bytes, .max_space, .percent, .changes, .unflushed_since, .max_grace, .conflicts, .obsolete]' "$BATS_TEST_TMPDIR/out")" = \
		'[3,3044032,4194304,73,{"none":1,"unimportant":1,"important":1},1700000100,1073741824,2,3]' ]
	[ "$(jq -c '.priorities[2]' "$BATS_TEST_TMPDIR/out")" = \
		'{"priority":2,"users":2,"bytes":40960,"percent":1,"limit_percent":50}' ]
	[ "$(jq -c '.roots[] | [.path, .configured, .users, .bytes]' "$BATS_TEST_TMPDIR/out")" = \
		'["'"$idx"'",true,3,[3072,0,40960,3000000]]' ]
	[ "$(jq '.roots[0] | .filesystem_size > .filesystem_free' "$BATS_TEST_TMPDIR/out")" = true ]
	[ "$(jq -c '.requests.list' "$BATS_TEST_TMPDIR/out")" = '{"count":5,"bytes":7}' ]
	[ "$(jq ".time - $now | . >= 0 and . < 60" "$BATS_TEST_TMPDIR/out")" = true ]
	[ "$(mc status -f jsonl | jq -c '.percent')" = null ]
	sqlite3 "$db" 'DELETE FROM notes; DELETE FROM users'
	[ "$(mc status -f json | jq -c '[.rescan, .users, .unflushed_since, .requests.put.count]')" = '[null,0,0,0]' ]
}

@test "figures are those of a rescan and of the requests that were made" {
	users 2
	mc flushall -q >/dev/null
	echo more >>"$home/dovecot.list.index.log"
	sqlite3 "$W/here/state/users.db" "DELETE FROM users WHERE username = '${USERS[1]}'"
	mc rescan -q >/dev/null
	mc status -f json >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '[.rescan.added, .rescan.corrected, .rescan.removed]' "$BATS_TEST_TMPDIR/out")" = '[1,1,0]' ]
	bytes=$(find "$idx" -path "*/${USERS[1]}/*" -type f ! -name '.state*' -printf '%s\n' | paste -sd+ | bc)
	[ "$(jq .rescan.bytes_off "$BATS_TEST_TMPDIR/out")" = $((bytes + 5)) ]
	[ "$(jq ".rescan.time - $now | . >= 0 and . < 60" "$BATS_TEST_TMPDIR/out")" = true ]
	[ "$(jq -c '[.requests.put.count, .requests.list.count]' "$BATS_TEST_TMPDIR/out")" = '[6,2]' ]
	# One that was not complete says nothing new.
	[ "$(id -u)" = 0 ] || chmod 000 "$home"
	note last_rescan 5
	deep="$home/mailboxes"
	for _ in $(seq 70); do deep+=/d; done
	mkdir -p "$deep"
	touch "$deep/dovecot.index.log"
	says 75 "user \"$user\": mailboxes/d/" rescan -q
	[ "$(mc status -f json | jq .rescan.time)" = 5 ]
}

@test "prometheus: promtool finds nothing to complain about, and the figures are there" {
	mc status -f prometheus -o metacache_max_space=4M >"$BATS_TEST_TMPDIR/out"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/out"
	[ -z "$output" ]
	for line in "metacache_users{root=\"$idx\"} 3" 'metacache_priority_users{priority="2"} 2' \
		'metacache_changed_users{changes="important"} 1' \
		'metacache_oldest_unflushed_change_timestamp_seconds 1700000100' \
		'metacache_conflict_units 2' 'metacache_obsolete_units 3' \
		"metacache_used_bytes{root=\"$idx\",priority=\"3\"} 3000000" 'metacache_max_space_bytes 4194304' \
		'metacache_priority_limit_ratio{priority="2"} 0.50' 'metacache_storage_requests_total{kind="put"} 5' \
		'metacache_storage_bytes_total{kind="delete"} 7' 'metacache_last_rescan_rows{change="added"} 3'; do
		grep -qxF "$line" "$BATS_TEST_TMPDIR/out"
	done
	grep -Eq "^metacache_filesystem_avail_bytes\{root=\"$idx\"\} [0-9]+$" "$BATS_TEST_TMPDIR/out"
	# What is not known is not there, rather than 0.
	sqlite3 "$db" 'DELETE FROM notes; UPDATE users SET unflushed = 0'
	mc status -f prometheus >"$BATS_TEST_TMPDIR/out"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/out"
	[ -z "$output" ]
	run -1 grep -E 'unflushed|last_rescan' "$BATS_TEST_TMPDIR/out"
}

@test "prometheus: labels are escaped whatever the roots are called" {
	sqlite3 "$db" "UPDATE users SET root = '/a\"b\\c' || char(10) || 'd' || x'ff' || 'e' WHERE username = '$user'"
	mc status -f prometheus >"$BATS_TEST_TMPDIR/out"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/out"
	[ -z "$output" ]
	grep -qxF 'metacache_users{root="/a\"b\\c\nd'$'\xEF\xBF\xBD''e"} 1' "$BATS_TEST_TMPDIR/out"
	mc status -f json | jq -e '.roots[1] | .users == 1 and (.configured | not)' >/dev/null
}

@test "--output: whole, readable, and the old one stays after a failure" {
	out=$BATS_TEST_TMPDIR/dir/metacache.prom
	mkdir "${out%/*}"
	umask 077
	mc status -f prometheus --output "$out"
	[ "$(stat -c %a "$out")" = 644 ]
	promtool check metrics <"$out"
	[ "$(ls -A "${out%/*}")" = metacache.prom ]
	old=$(stat -c %i "$out")
	mc status -f prometheus --output "$out"
	[ "$(stat -c %i "$out")" != "$old" ]
	sum=$(sha256sum <"$out")
	mv "$db" "$db.away"
	says 66 'No such file' status -f prometheus --output "$out"
	[ "$(sha256sum <"$out")" = "$sum" ]
	mv "$db.away" "$db"
	(cd "${out%/*}" && "$BIN/metacache-status" -c "$W/here/conf" -f json --output rel.json && jq -e .users rel.json) >/dev/null
	says 66 'No such file' status -f prometheus --output "$BATS_TEST_TMPDIR/none/x.prom"
	says 73 'no regular file' status -f prometheus --output "${out%/*}"
	says 73 'no regular file' status -f prometheus --output "${out%/*}/"
	ln -s /dev/null "${out%/*}/link"
	says 73 'no regular file' status -f prometheus --output "${out%/*}/link"
	[ -L "${out%/*}/link" ]
	says 64 '--output needs -f json or -f prometheus' status --output "$out"
	says 64 '--output needs -f json or -f prometheus' status -f table --output "$out"
	[ "$(sha256sum <"$out")" = "$sum" ] || promtool check metrics <"$out"
}

@test "--output on a full disk: 73, the old file stays, no other is left" {
	[ "$(id -u)" = 0 ] || skip "only root can mount"
	full=$BATS_TEST_TMPDIR/full
	mkdir "$full"
	mount -t tmpfs -o size=16k tmpfs "$full"
	echo old >"$full/m.prom"
	head -c 12288 /dev/zero >"$full/fill"
	code=0
	"$BIN/metacache-status" -c "$W/here/conf" -f prometheus --output "$full/m.prom" 2>"$BATS_TEST_TMPDIR/err" || code=$?
	left=$(ls -A "$full" | paste -sd' ') text=$(<"$full/m.prom")
	umount "$full"
	[ "$code" = 73 ]
	grep -q 'No space left' "$BATS_TEST_TMPDIR/err"
	[ "$left" = "fill m.prom" ]
	[ "$text" = old ]
}

@test "--output by many at once is whole whenever somebody looks" {
	out=$BATS_TEST_TMPDIR/m.prom
	mc status -f prometheus --output "$out"
	want=$(grep -c . "$out")
	for _ in 1 2 3 4; do
		(for _ in $(seq 25); do "$BIN/metacache-status" -c "$W/here/conf" -f prometheus --output "$out" || touch "$out.bad"; done) 3>&- &
	done
	while [ -n "$(jobs -r)" ]; do
		[ "$(grep -c . "$out")" = "$want" ] || touch "$out.bad"
	done
	wait
	[ ! -e "$out.bad" ]
}

# plugin CODE TEXT ARG…: that exit code, and one line with TEXT on stdout.
plugin() {
	local code=$1 text=$2 status=0
	shift 2
	mc status --check "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = "$code" ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 1 ] &&
		[[ "$(<"$BATS_TEST_TMPDIR/out")" == "METACACHE "*"$text"* ]] && return
	echo "$status"
	cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"
	return 1
}
# The disk of the tests is as full as it is.
DISK="--warn-disk 100 --crit-disk 100"

@test "--check: all is well, and the performance data can be read" {
	no_conflicts
	unflushed 60
	plugin 0 "OK - 3 users, 2.9M of 4.0M (73%) | users=3;;;0 bytes=3044032B;4194304;1077936128;0;4194304 unflushed=6" \
		$DISK -o metacache_max_space=4M
	[[ "$(<"$BATS_TEST_TMPDIR/out")" =~ \ important=1\;\;\;0\ conflicts=0\;0\;\;0\ obsolete=3\;\;\;0\ \'disk\ $idx\'=[0-9]+%\;100\;100\;0\;100\ rescan_age=[0-9]+s\;172800\;604800\;0$ ]]
	[ ! -s "$BATS_TEST_TMPDIR/err" ]
	plugin 0 "OK - 3 users, 2.9M | users=3;;;0 bytes=3044032B;;;0 unflushed" $DISK --warn-usage 0 --crit-usage 0
	sqlite3 "$db" 'UPDATE users SET changes = 0, unflushed = 0'
	plugin 0 " unflushed=0s;900;3600;0 important=0;;;0 conflicts=" $DISK
	# A clock that was set back.
	unflushed -1000
	plugin 0 " unflushed=0s;" $DISK
}

@test "--check: each threshold, warning and critical" {
	unflushed 60
	plugin 1 "WARNING - 2 units in conflict; 3 users" $DISK
	[[ "$(<"$BATS_TEST_TMPDIR/out")" == *" conflicts=2;0;;0 obsolete=3;;;0 "* ]]
	unflushed 1000
	plugin 2 "CRITICAL - an important change is not uploaded for 16 minutes, 2 units in conflict; 3" $DISK --crit-unflushed 1min
	no_conflicts
	plugin 1 "WARNING - an important change is not uploaded for 16 minutes; 3 users" $DISK
	plugin 0 " unflushed=100" $DISK --warn-unflushed 20min
	plugin 2 "CRITICAL - an important change is not uploaded for 16 minutes" $DISK --crit-unflushed '999 secs'
	unflushed 0
	plugin 1 "WARNING - 1486% of metacache_max_space used" $DISK -o metacache_max_space=200K
	plugin 2 "CRITICAL - 1486% of" $DISK -o metacache_max_space=200K -o metacache_max_grace=2M
	plugin 1 "WARNING - 1486% of" $DISK -o metacache_max_space=200K -o metacache_max_grace=2M --crit-usage 1487
	plugin 1 "WARNING - 73% of" $DISK -o metacache_max_space=4M --warn-usage 72
	plugin 2 "CRITICAL - 73% of" $DISK -o metacache_max_space=4M --warn-usage 0 --crit-usage 72
	plugin 1 "WARNING - the filesystem of $idx is" --warn-disk 0 --crit-disk 100
	plugin 2 "CRITICAL - the filesystem of $idx is" --crit-disk 0
	note last_rescan $((now - 3 * 86400))
	plugin 1 "WARNING - the last rescan is 3 days old" $DISK
	plugin 2 "CRITICAL - the last rescan is 3 days old" $DISK --crit-rescan 1d
	plugin 2 "CRITICAL - the last rescan is 3 days old" $DISK -o metacache_rescan_interval=1h
	plugin 0 ";345600;604800;0" $DISK --warn-rescan 4d
	sqlite3 "$db" "DELETE FROM notes WHERE name = 'last_rescan'"
	plugin 1 "WARNING - never rescanned" $DISK
	# The worst counts, and all are said.
	unflushed 7300
	plugin 2 "CRITICAL - an important change is not uploaded for 2 hours, never rescanned; 3" $DISK
}

@test "--check: what cannot be seen is 3, also wrong calls and settings" {
	no_conflicts
	unflushed 0
	mv "$idx" "$W/away"
	plugin 3 "UNKNOWN - ask for the free space of $idx: No such file or directory; 3 users"
	unflushed 99999
	plugin 2 "CRITICAL - an important change is not uploaded for 27 hours, ask for"
	mv "$W/away" "$idx"
	plugin 3 "UNKNOWN - metacache-status failed" --nope
	plugin 3 "UNKNOWN - metacache-status failed" --warn-unflushed 5
	plugin 3 "UNKNOWN - metacache-status failed" -f table
	grep -q -- '--check has a form of its own' "$BATS_TEST_TMPDIR/err"
	plugin 3 'UNKNOWN - metacache-status failed: -o: metacache_max_space = "x" is not a size' -o metacache_max_space=x
	rm -f "$db"*
	plugin 3 "UNKNOWN - metacache-status failed"
	grep -q 'metacache-rescan makes it' "$BATS_TEST_TMPDIR/err"
	code=0
	"$BIN/metacache-status" -c "$W/here/conf" --check >/dev/full 2>&1 || code=$?
	[ "$code" = 3 ]
}

@test "a root that is away: said, 66, and the rest is printed" {
	rm -r "$idx"
	says 66 "ask for the free space of $idx: No such file or directory" status -f json
	[ "$(jq -c '.roots[0] | [.users, .filesystem_size, .filesystem_free]' "$BATS_TEST_TMPDIR/out")" = '[3,null,null]' ]
	says 66 "$idx" status -f prometheus
	run -1 grep '^metacache_filesystem' "$BATS_TEST_TMPDIR/out"
	says 66 "$idx" status -f table
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -gt 15 ]
}

@test "help, version, wrong calls, a registry that is missing or no good, a full stdout" {
	for option in --config=FILE '--format=flow|pager|tab|table|json|jsonl|prometheus' --output=FILE --check --warn-unflushed \
		--crit-usage --warn-disk --crit-rescan --version --help; do
		mc status --help | grep -qF -- "$option"
	done
	mc status --version | grep -Eq '^metacache-status \(metacache-tools\) [0-9.]+$'
	says 64 'one argument too many: "a"' status a
	says 64 'unknown output format "xml"' status -f xml
	says 64 '--warn-unflushed "5" is missing units' status --warn-unflushed 5
	says 64 '--crit-rescan "x" is not a time' status --crit-rescan x
	says 64 '--warn-usage "-1": expected a number' status --warn-usage -1
	says 64 '--warn-disk "101": expected a number from 0 to 100' status --warn-disk 101
	says 78 '-o: metacache_max_space = "12X" is not a size' status -o metacache_max_space=12X
	for format in flow pager tab table json jsonl prometheus; do
		code=0
		"$BIN/metacache-status" -c "$W/here/conf" -f $format >/dev/full 2>"$BATS_TEST_TMPDIR/err" || code=$?
		[ "$code" = 74 ]
		[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ]
	done
	rm -f "$db"*
	says 66 "$db: No such file or directory (metacache-rescan makes it)" status
	[ ! -e "$db" ]
	echo 'this is no database, however long it may be' >"$db"
	says 65 'file is not a database' status
}

@test "nothing is written, and no tree and no store is needed" {
	before=$(sha256sum <"$db")
	remember
	mc status -f json >/dev/null
	untouched
	[ "$(sha256sum <"$db")" = "$before" ]
	rm -rf "$W/store"
	mc status -f json >/dev/null
}
