#!/usr/bin/env bats
# metacache-prune between two real backends and a real director: what is deleted on one is there on the
# other, to the flag; who belongs here, is unknown or is logged in is never touched.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	DIR=$(scratch_make)
	stopped=
	pair_addresses
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d"
	pair_direct
}

teardown() {
	[ -z "$stopped" ] || kill -CONT $stopped
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 20 "$DIR"/*/log/dovecot.log >&3; }
	rm -rf "$DIR"
	json_valid
}

# prune NAME ARG…: on that backend, whatever the age; "user decision reason deleted" in order.
prune() {
	local name=$1 status=0
	shift
	mc "$name" prune -q --older-than 0 -f tab --no-header --field username,decision,reason,deleted "$@" \
		>"$DIR/rows" || status=$?
	sort "$DIR/rows"
	return "$status"
}
says() { # NAME USER "DECISION REASON DELETED" ARG…
	local answer
	answer=$(prune "$1" -u "$2" "${@:4}" 2>"$DIR/err" || true)
	[ "$answer" = "$(tr ' ' '\t' <<<"$2 $3")" ] || { echo "$answer"; cat "$DIR/err"; return 1; }
}

# hashed HOST: a user whom nobody has assigned and whom the director would send there.
hashed() {
	local i
	for ((i = 0; ; i++)); do
		if director status "hashed$i@example.com" | grep -qx "Hashed: $1"; then
			echo "hashed$i@example.com"
			return
		fi
	done
}

# marked NAME USER: mails with flags and keywords, written down as IMAP shows them.
marked() {
	on "$1" "$2" append INBOX 4 '(\Seen)'
	on "$1" "$2" append Junk 2
	on "$1" "$2" store INBOX 2:3 +FLAGS '(\Flagged $Work)'
	on "$1" "$2" dump >"$DIR/$2.txt"
}
# The other backend shows the same.
recovered() { on b "$1" dump | diff "$DIR/$1.txt" -; }
# But for those that the tests cause.
no_errors() {
	! { errors_of a && errors_of b; } | grep -vE 'Killed with signal 15|Invalid authentication attempt to HTTP API'
}
exists() { [ -e "$(home_of a "$1")/dovecot.list.index.log" ]; }

@test "users of each kind: deleted are those of the other backend, and all of it is there" {
	here=$(hashed "$A_HOST") there=$(hashed "$B_HOST")
	for user in mine@example.com away@example.com gone@example.com 4711 mixed@example.com "$here" "$there"; do
		marked a "$user"
	done
	move_user mine@example.com "$A_HOST"
	move_user away@example.com "$B_HOST"
	move_user gone@example.com "$A_HOST"
	move_user gone@example.com "$B_HOST"
	move_user 4711 "$B_HOST"
	move_user Mixed@Example.com "$B_HOST"
	run -75 --separate-stderr prune a -A
	echo "$output" >"$DIR/plan"
	run -75 --separate-stderr prune a -A --delete
	echo "$output" >"$DIR/done"
	sort <<-PLAN | tr ' ' '\t' | diff - "$DIR/plan"
		mine@example.com keep here no
		away@example.com flush changed no
		gone@example.com flush changed no
		4711 flush changed no
		mixed@example.com flush changed no
		$here keep here no
		$there keep unassigned no
	PLAN
	sed -e 's/flush	changed	no/delete	flushed	yes/' "$DIR/plan" | diff - "$DIR/done"
	for user in mine@example.com "$here" "$there"; do exists "$user"; done
	for user in away@example.com gone@example.com 4711 mixed@example.com; do
		run ! exists "$user"
		recovered "$user"
	done
	# Without changes nothing is missed where nobody has the user.
	mc a flushall -q >/dev/null
	[ "$(prune a -A --delete)" = "$(printf '%s\n' "mine@example.com keep here no" "$here keep here no" "$there delete unchanged yes" | sort | tr ' ' '\t')" ]
	recovered "$there"
	no_errors
}

@test "obsolete: the other backend has gone on; a flag here that it does not know is a conflict, and named when given up" {
	user=user@example.com
	move_user $user "$A_HOST"
	marked a $user
	mc a flush -q -u $user >/dev/null
	move_user $user "$B_HOST"
	on d $user store INBOX 1 +FLAGS '(\Answered $OnB)'
	mc b flush -q -u $user >/dev/null
	on b $user dump >"$DIR/$user.txt"
	says a $user "delete obsolete no"
	says b $user "keep here no"
	# A's session of old had one more change.
	cp -a "$(home_of a $user)" "$DIR/copy"
	says a $user "delete obsolete yes" --delete
	mv "$DIR/copy" "$(home_of a $user)"
	POSTLOGIN='' "$REAL_DIR/start-dovecot" "$DIR" index a >"$DIR/a/env"
	sed -i "s#^doveadm_url.*#doveadm_url = http://127.0.0.1:$(value_of a DOVEADM_PORT)#" "$DIR/a/metacache.conf"
	on a $user store INBOX 4 +FLAGS '(\Deleted)'
	says a $user "keep conflict no" --delete
	grep -q 'flag' "$DIR/err"
	exists $user
	mc a prune -q --older-than 0 --delete --discard-important -u $user -f json >"$DIR/out"
	jq -e '.users[0] | .deleted and (.lost | test("^mailboxes/[0-9a-f]{32}: .*flag"))' "$DIR/out"
	recovered $user
	no_errors
}

@test "a live session is kept, although the director says elsewhere: in IDLE, and where it has only logged in" {
	user=user@example.com
	marked a $user
	mc a flush -q -u $user >/dev/null
	move_user $user "$B_HOST"
	for what in 'hold INBOX' hold-login hold-list; do
		# shellcheck disable=SC2086
		coproc HOLD { on a $user $what; }
		read -r -t 20 line <&"${HOLD[0]}"
		[ "$line" = ready ]
		mc a flush -q -u $user >/dev/null
		says a $user "keep session no" --delete
		exists $user
		# Who can't be asked may have anybody.
		says a $user "keep session_unknown no" --delete -o doveadm_url=http://127.0.0.1:1
		exists $user
		exec {HOLD[1]}>&-
		wait "$HOLD_PID"
	done
	says a $user "keep session_unknown no" --delete -o doveadm_api_key=wrong -o doveadm_api_key_file= -o "director=unix:$(value_of d DIRECTOR_ADMIN)"
	poll_until 20 says a $user "delete unchanged no"
	says a $user "delete unchanged yes" --delete
	recovered $user
	no_errors
}

@test "drained, stopped, silent, moved back: everybody is kept" {
	there=$(hashed "$B_HOST")
	marked a user@example.com
	marked a "$there"
	mc a flushall -q >/dev/null
	move_user user@example.com "$B_HOST"
	says a "$there" "delete unchanged no"
	# Drained, every hash is another's.
	director update "$A_HOST" 0
	says a "$there" "keep owner_unknown no" --delete
	director update "$A_HOST" 100
	# Moved between the plan and the deed.
	says a user@example.com "delete unchanged no"
	move_user user@example.com "$A_HOST"
	says a user@example.com "keep here no" --delete
	move_user user@example.com "$B_HOST"
	stopped=$(pgrep -P "$(<"$DIR/d/run/master.pid")" -d ' ')
	kill -STOP $stopped
	says a user@example.com "keep owner_unknown no" --delete -o director_timeout=1s
	kill -CONT $stopped
	stopped=
	"$REAL_DIR/stop" "$DIR/d"
	says a user@example.com "keep owner_unknown no" --delete
	run -75 prune a -A --delete
	exists user@example.com && exists "$there"
}

@test "logged in and out, moved and pruned all the time: every flag that IMAP took is there at the end" {
	"$BATS_TEST_DIRNAME/prune-race" "$DIR" "$BIN" "${RACE_SECONDS:-15}" >"$DIR/race" || { cat "$DIR/race"; false; }
	[ -z "${RACE_SHOW:-}" ] || cat "$DIR/race" >&3
	no_errors
}
