#!/usr/bin/env bats
# metacache-list: goldens of all formats, masks, fields, and a registry that is missing or no good.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 3
	db=$W/here/state/users.db
	# Known figures: those of the generated trees depend on time and file system.
	sqlite3 "$db" "UPDATE users SET dev_major=8, dev_minor=1, bytes0=1, bytes1=0, bytes2=20480, bytes3=3000000,
		access0=1700000000, access1=0, access2=1700000001, access3=1700000002, changes=2;
		UPDATE users SET changes=0, last_service='imap' WHERE username LIKE 'user000001%'"
}

NAMES="username upload-within dev-major dev-minor bytes-used(0) last-access(0) bytes-used(1) last-access(1)
	bytes-used(2) last-access(2) bytes-used(3) last-access(3) changes last-service conflicts obsolete cleanup-weight"

row() { # row SEPARATOR USER CHANGES SERVICE
	printf '%s' "$2"
	printf "$1%s" 300 8 1 1 1700000000 0 0 20480 1700000001 3000000 1700000002 "$3" "$4" 0 0 1700000002
	echo
}

@test "tab: a header and a row a user, in order of the name; also what a pipe gets without -f" {
	{
		echo $NAMES | tr ' ' '\t'
		row '\t' "${USERS[0]}" important ''
		row '\t' "${USERS[1]}" none imap
		row '\t' "${USERS[2]}" important ''
	} >"$BATS_TEST_TMPDIR/want"
	diff "$BATS_TEST_TMPDIR/want" <(mc list -f tab)
	diff "$BATS_TEST_TMPDIR/want" <(mc list)
}

@test "json and jsonl: the same fields, numbers as numbers, and only text as text" {
	cat >"$BATS_TEST_TMPDIR/want" <<-END
		{"bytes-used(0)":1,"bytes-used(1)":0,"bytes-used(2)":20480,"bytes-used(3)":3000000,"changes":"none","cleanup-weight":1700000002,"conflicts":0,"dev-major":8,"dev-minor":1,"last-access(0)":1700000000,"last-access(1)":0,"last-access(2)":1700000001,"last-access(3)":1700000002,"last-service":"imap","obsolete":0,"upload-within":300,"username":"user000001@example.com"}
	END
	diff "$BATS_TEST_TMPDIR/want" <(mc list -f json | jq -cS '.users[1]')
	diff "$BATS_TEST_TMPDIR/want" <(mc list -f jsonl | jq -cS . | sed -n 2p)
	[ "$(mc list -f json | jq '.users | length')" = 3 ]
	[ "$(mc list -f json | jq -r '.users[0] | to_entries[] | select(.value | type == "string") | .key' |
		paste -sd' ')" = "username changes last-service" ]
	diff <(mc list -f json | jq -r '.users[0] | keys_unsorted[]') <(echo $NAMES | tr ' ' '\n')
	# The example of the manual page.
	[ "$(mc list -f json | jq -r '.users[] | select(.changes != "none").username' | paste -sd' ')" = \
		"${USERS[0]} ${USERS[2]}" ]
}

@test "flow, pager and table" {
	pick=(--field 'username,bytes-used(3),last-access(1),last-access(3),changes')
	[ "$(TZ=UTC mc list -f flow "${pick[@]}" "${USERS[1]}")" = \
		"username=${USERS[1]} bytes-used(3)=3000000 last-access(1)=0 last-access(3)=1700000002 changes=none" ]
	diff <(TZ=UTC mc list -f pager "${pick[@]}" "${USERS[1]}") <(
		printf '%s\n' "username: ${USERS[1]}" 'bytes-used(3): 3000000' 'last-access(1): 0' \
			'last-access(3): 1700000002' 'changes: none'
	)
	diff <(TZ=UTC mc list -f table "${pick[@]}" '*1@*') - <<-END
		username                bytes-used(3)  last-access(1)  last-access(3)       changes
		user000001@example.com           2.9M  -               2023-11-14 22:13:22  none
	END
}

@test "masks" {
	names() { mc list -f tab --field username "$@" | tail -n +2 | paste -sd' '; }
	[ "$(names '*')" = "${USERS[*]}" ]
	[ "$(names '*00?@example.com')" = "${USERS[*]}" ]
	[ "$(names 'user000002@*')" = "${USERS[2]}" ]
	[ "$(names "${USERS[1]}")" = "${USERS[1]}" ]
	[ "$(names 'USER*')" = "" ]
	[ "$(names 'user')" = "" ]
	[ "$(names '')" = "" ]
	[ "$(mc list -f json nobody | jq -c .)" = '{"users":[]}' ]
}

@test "--field: in the order given, repeated or by commas; all shows root; an unknown one is 64" {
	[ "$(mc list -f tab --field changes,username | head -1)" = $'changes\tusername' ]
	[ "$(mc list -f tab --field changes --field username | head -1)" = $'changes\tusername' ]
	[ "$(mc list -f tab --field username --field root "${USERS[0]}" | tail -1 | tr '\t' '\n' | sort)" = \
		"$(printf '%s\n' "$idx" "${USERS[0]}" | sort)" ]
	[ "$(mc list -f json --field all | jq -r '.users[0].root')" = "$idx" ]
	[ "$(mc list -f json | jq '.users[0] | has("root")')" = false ]
	says 64 'no such field: "nope" (fields: username root' list --field username,nope
}

# order KEY: the users, as 0 1 2
order() { mc list -f tab --field username --sort "$@" | tail -n +2 | sed 's/user00000\(.\)@.*/\1/' | paste -sd' '; }

@test "--sort: cleaned first, unused longest, largest; the name decides between equals" {
	[ "$(order weight)" = "0 1 2" ]
	sqlite3 "$db" "UPDATE users SET access3 = access3 - 10 WHERE username LIKE '%2@%';
		UPDATE users SET access0 = access3 + 5, bytes1 = 7 WHERE username LIKE '%1@%';
		UPDATE users SET bytes0 = 5 WHERE username LIKE '%0@%'"
	[ "$(order weight)" = "2 0 1" ]
	[ "$(order last-access)" = "2 0 1" ]
	[ "$(order size)" = "1 0 2" ]
	[ "$(order username)" = "0 1 2" ]
	[ "$(order size '*0@*')" = "0" ]
	# In the order of the column that weight sorts by.
	mc list -f tab --field cleanup-weight --sort weight | tail -n +2 | sort -nc
	says 64 '--sort "bytes": expected weight, last-access, size or username' list --sort bytes
	says 64 '--sort "": expected' list --sort ''
}

@test "user_*: columns after the name, in order, for everybody; a mask matches them" {
	sqlite3 "$db" "INSERT INTO aliases VALUES ('${USERS[1]}','user_id','4711'), ('${USERS[1]}','user_alt','b@x'),
		('${USERS[2]}','user_id','4712')"
	[ "$(mc list -f tab | head -1 | cut -f 1-4)" = $'username\tuser_alt\tuser_id\tupload-within' ]
	[ "$(fields username,user_alt,user_id list | paste -sd' ')" = \
		"${USERS[0]}"$'\t\t '"${USERS[1]}"$'\tb@x\t4711 '"${USERS[2]}"$'\t\t4712' ]
	[ "$(fields user_id list --sort last-access | paste -sd,)" = ",4711,4712" ]
	[ "$(mc list -f json | jq -c '[.users[] | [.user_alt, .user_id]]')" = \
		'[[null,null],["b@x","4711"],[null,"4712"]]' ]
	mc list -f jsonl >/dev/null
	[ "$(fields username list '471?' | paste -sd' ')" = "${USERS[1]} ${USERS[2]}" ]
	[ "$(fields username list b@x)" = "${USERS[1]}" ]
	[ "$(fields username list 'nobody*')" = "" ]
	# What is asked for by name is there even if nobody has it; and it is not a prefix.
	[ "$(mc list -f tab --field user_zz,username "${USERS[0]}" | tail -1)" = $'\t'"${USERS[0]}" ]
	[ "$(fields user_alt,user_beta,user_id list b@x)" = $'b@x\t\t4711' ]
	says 64 'no such field: "user_"' list --field user_
	mc list -f json --field username,user_none >/dev/null
}

@test "unflushed-since: only when asked for" {
	sqlite3 "$db" "UPDATE users SET unflushed = iif(username LIKE '%1@%', 1700000003, 0)"
	[ "$(fields unflushed-since list | paste -sd' ')" = "0 1700000003 0" ]
	[ "$(TZ=UTC mc list -f table --field unflushed-since '*1@*' | tail -1)" = "2023-11-14 22:13:23" ]
	[ "$(mc list -f json --field all | jq '.users[1]["unflushed-since"]')" = 1700000003 ]
	[ "$(mc list -f json | jq '.users[0] | has("unflushed-since")')" = false ]
}

# Another backend goes on with what this one flushed: in the search indexes of the first user, and
# in all units of the second.
elsewhere() {
	mkdir "$home/fts-flatcurve"
	echo words >"$home/fts-flatcurve/glass"
	mc flushall -q >/dev/null
	storage_of >/dev/null
	echo there >>"$(find "$W/there/idx" -path "*/$user/*/glass")"
	find "$W/there/idx" -path "*/${USERS[1]}/*.index.log" -exec sh -c 'echo there >>"$1"' - {} \;
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	mc rescan -q >/dev/null
	second=$(find "$idx" -mindepth 2 -maxdepth 2 -name "${USERS[1]}")
}
# standing_is ROW…: of each user; also in a registry that is made from the .state files.
standing_is() {
	diff <(printf '%s\n' "$@") <(fields conflicts,obsolete list)
	mc rescan -f json >"$BATS_TEST_TMPDIR/rescan"
	[ "$(jq '.rescans[0] | .added + .corrected + .removed' "$BATS_TEST_TMPDIR/rescan")" = 0 ]
	rm -f "$db"*
	mc rescan -q >/dev/null
	diff <(printf '%s\n' "$@") <(fields conflicts,obsolete list)
}

@test "obsolete: as a flush or a refresh finds it, until it is replaced" {
	elsewhere
	standing_is $'0\t0' $'0\t0' $'0\t0'
	echo here >>"$home/fts-flatcurve/glass"
	mc rescan -q >/dev/null
	mc flush -q -n -u "$user" >/dev/null
	standing_is $'0\t0' $'0\t0' $'0\t0'
	mc flush -q -u "$user" >/dev/null
	standing_is $'0\t1' $'0\t0' $'0\t0'
	# Somebody has it open.
	hold "$home/fts-flatcurve/glass" 0 0
	mc refresh -q -u "$user" >/dev/null || [ $? = 75 ]
	standing_is $'0\t1' $'0\t0' $'0\t0'
	release
	mc refresh -q -u "$user" >/dev/null
	standing_is $'0\t0' $'0\t0' $'0\t0'
	# A refresh is the first to see it.
	hold "$second/dovecot.list.index.log" 0 0
	mc refresh -q -u "${USERS[1]}" >/dev/null || [ $? = 75 ]
	standing_is $'0\t0' $'0\t1' $'0\t0'
	# A flush of what is unchanged does not ask storage, and does not forget it.
	mc flushall -q >/dev/null
	standing_is $'0\t0' $'0\t1' $'0\t0'
}

@test "conflicts: with each unit, until an operator has chosen" {
	elsewhere
	world_change
	run -65 --separate-stderr mc flushall -q
	standing_is $'0\t0' $'3\t0' $'0\t0'
	[ "$(mc status -f json | jq -c '[.conflicts, .obsolete]')" = '[3,0]' ]
	run -65 --separate-stderr mc refresh -q -u "${USERS[1]}"
	standing_is $'0\t0' $'3\t0' $'0\t0'
	# What was in its way is gone: it is current again.
	find "$W/store" -path "*/${USERS[1]}/mailboxes/*-*" -delete
	mc refresh -q -u "${USERS[1]}" >/dev/null || [ $? = 65 ]
	standing_is $'0\t0' $'1\t0' $'0\t0'
	mc flush -q --overwrite -u "${USERS[1]}" >/dev/null
	standing_is $'0\t0' $'0\t0' $'0\t0'
}

@test "conflicts: a tree that was made without asking storage; bundles of two writers there" {
	elsewhere
	rm "$second/.state"
	for _ in 1 2; do
		run -65 --separate-stderr mc flush -q -u "${USERS[1]}"
		standing_is $'0\t0' $'1\t0' $'0\t0'
	done
	mc refresh -q --discard-important -u "${USERS[1]}" >/dev/null
	standing_is $'0\t0' $'0\t0' $'0\t0'
	# Two diffs on one base: neither listing had the other's.
	cp -a "$W/store" "$W/aside"
	find "$W/there/idx" -path "*/${USERS[1]}/dovecot.list.index.log" -exec sh -c 'echo more >>"$1"' - {} \;
	"$BIN/metacache-flushall" -q -c "$W/there/conf" -o "obox_index_fs=posix:$W/aside" >/dev/null
	echo here >>"$second/dovecot.list.index.log"
	mc flush -q -u "${USERS[1]}" >/dev/null
	cp -an "$W/aside/." "$W/store/"
	rm -r "$second"
	run -65 --separate-stderr mc refresh -q -u "${USERS[1]}"
	standing_is $'0\t0' $'1\t0' $'0\t0'
}

@test "only the registry is read: not the trees, not the store, and nothing is written" {
	mc list >"$BATS_TEST_TMPDIR/want"
	rm -rf "$idx" "$W/store"
	before=$(sha256sum <"$db")
	diff "$BATS_TEST_TMPDIR/want" <(mc list)
	[ "$(sha256sum <"$db")" = "$before" ]
}

@test "without a registry it is 66, and none is made" {
	rm -f "$db"*
	says 66 "$db: No such file or directory (metacache-rescan makes it)" list
	[ ! -e "$db" ]
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	: >"$db"
	says 66 "$db is empty" list
}

@test "a registry that is none, or of a newer version, is 65" {
	rm -f "$db"*
	echo 'this is no database, however long it may be' >"$db"
	says 65 "$db: file is not a database (delete the file and run metacache-rescan)" list
	rm "$db"
	mc rescan -q >/dev/null
	sqlite3 "$db" 'PRAGMA user_version = 99' >/dev/null
	says 65 "$db has schema 99" list
}

@test "a row that holds what no user name can is shown without harm" {
	sqlite3 "$db" "UPDATE users SET username = 'a' || char(10, 9, 27) || 'b' WHERE username = '$user'"
	[ "$(mc list -f tab | wc -l)" = 4 ]
	[ "$(mc list -f json | jq -r '.users[0].username | explode | map(tostring) | join(" ")')" = "97 10 9 27 98" ]
	mc list -f table >"$BATS_TEST_TMPDIR/out"
	run -1 grep $'\e' "$BATS_TEST_TMPDIR/out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 4 ]
}
