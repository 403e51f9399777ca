#!/usr/bin/env bats
# metacache-drain of a real backend with connected clients, alone and behind a real director.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$BATS_TEST_DIRNAME/pair.bash"
	DIR=$(scratch_make)
	holders=()
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store"
	user=user@example.com
}

teardown() {
	for pid in "${holders[@]}"; do kill "$pid" 2>/dev/null || true; done
	pair_stop "$DIR"
	[ -n "${BATS_TEST_COMPLETED-}" ] || { tail -n 30 "$DIR"/a/log/dovecot.log >&3; }
	rm -rf "$DIR"
	json_valid
}

# Two backends, A with what drain needs to know of its Dovecot.
alone() {
	pair_start "$DIR" index "posix:$DIR/store"
	cat >>"$DIR/a/metacache.conf" <<-CONF
		doveadm_url = http://127.0.0.1:$(value_of a DOVEADM_PORT)
		doveadm_api_key = $(value_of a DOVEADM_API_KEY)
	CONF
	mc a boot start -q >/dev/null
}

# hold USER: a client in IDLE, which writes down what ends it.
hold() {
	"$REAL_DIR/imap" "$(value_of a IMAP_PORT)" "$1" hold INBOX 600 >"$DIR/held.$1" 2>&1 3>&- &
	holders+=($!)
	poll_until 20 grep -q ready "$DIR/held.$1"
}

drain() { mc a drain -f json "$@" >"$DIR/drain.json" 2>"$DIR/drain.err"; }
step() { jq -r ".steps[] | select(.step == \"$1\") | $2" "$DIR/drain.json"; }

@test "connected clients: the log shows the order, every flag is in storage, nobody gets in any more" {
	alone
	"$REAL_DIR/seed" "$(value_of a IMAP_PORT)" "$(value_of a LMTP_PORT)" "$user" 7 5
	mc a flushall -q >/dev/null
	on a "$user" store INBOX 1:3 +FLAGS '(\Answered $Late)'
	hold "$user"
	hold other@example.com
	on a "$user" dump >"$DIR/before.txt"
	: >"$DIR/a/log/dovecot.log"
	mc a drain -v --log-format json -f json >"$DIR/drain.json" 2>"$DIR/drain.err"
	[ "$(jq -r '.steps[] | .step + "=" + .result' "$DIR/drain.json" | paste -sd' ')" = \
		'flush-1=done stop=done kick-1=done flush-2=done wait=done kick-2=done flush-3=done mark-clean=done' ]
	jq -e '.summary | .complete and .kicked == 2 and .sessions_left == 0 and .conflicts == 0' "$DIR/drain.json"
	# Its own log, in that order, and Dovecot's.
	[ "$(jq -r 'select(.event == "metacache_drain_step_finished") | .step' "$DIR/drain.err" | paste -sd' ')" = \
		'flush-1 stop kick-1 flush-2 wait kick-2 flush-3 mark-clean' ]
	[ "$(sed -n "s/.*Executing command '\(service stop\|kick\)'.*/\1/p" "$DIR/a/log/dovecot.log" | paste -sd, | sed 's/\(service stop,\)\+/stop,/')" = \
		'stop,kick,kick' ]
	[ "$(grep -c 'Server shutting down' "$DIR/a/log/dovecot.log")" = 2 ]
	[ "$(step stop .detail)" = 'imap-login lmtp' ]
	# The clients are gone, and no new ones come.
	run -1 on a "$user" login
	run -1 deliver_on a "$user" 1
	[ "$(mc a boot status -f json | jq -r '.boots[0].state')" = stopped ]
	# What is on the other backend then is all that there was.
	on b "$user" dump >"$DIR/after.txt"
	diff "$DIR/before.txt" "$DIR/after.txt"
	# Called off: the boot and Dovecot go on.
	doveadm -c "$DIR/a/dovecot.conf" reload
	poll_until 20 on a other@example.com login
	mc a boot start -q >/dev/null
	[ "$(mc a boot status -f json | jq -r '.boots[0].state')" = running ]
}

@test "clients that set flags to the end: what they were told is in storage" {
	alone
	on a "$user" append INBOX 3
	mc a flushall -q >/dev/null
	"$REAL_DIR/imap" "$(value_of a IMAP_PORT)" "$user" flip INBOX 100000 >"$DIR/flip" 2>&1 3>&- &
	holders+=($!)
	poll_until 20 bash -c "doveadm -c '$DIR/a/dovecot.conf' who | grep -q '$user'"
	drain
	jq -e '.summary.complete and .summary.kicked >= 1' "$DIR/drain.json"
	"$REAL_DIR/stop" "$DIR/a"
	"$BIN/metacache-flushall" -n -f json -i -c "$DIR/a/metacache.conf" | jq -e '.summary.uploaded == 0'
}

@test "a delivery that is under way is put off: its sender is told, and has to try again" {
	alone
	on a "$user" append INBOX 1
	exec 8<>"/dev/tcp/127.0.0.1/$(value_of a LMTP_PORT)"
	answer() {
		while read -r -t 20 line <&8; do
			[[ $line == [0-9][0-9][0-9]\ * ]] && break
		done
		[[ $line == $1* ]]
	}
	answer 220
	for command in 'LHLO x' 'MAIL FROM:<a@example.com>' "RCPT TO:<$user>"; do
		printf '%s\r\n' "$command" >&8
		answer 250
	done
	printf 'DATA\r\n' >&8
	answer 354
	drain 8>&-
	jq -e '.summary.complete and .summary.sessions_left == 0' "$DIR/drain.json"
	answer 421
	run -1 grep 'saved mail' "$DIR/a/log/dovecot.log"
	exec 8>&-
}

@test "-n and a killed run: the next one does what is left" {
	alone
	on a "$user" append INBOX 2 '(\Flagged)'
	hold "$user"
	drain -n
	jq -e '.summary.complete == false and .summary.kicked == 0' "$DIR/drain.json"
	[ "$(step stop .result)" = would ]
	[ "$(step kick-1 .count)" = 1 ]
	on a "$user" login
	"$BIN/metacache-drain" -v -c "$DIR/a/metacache.conf" >/dev/null 2>"$DIR/killed" 3>&- &
	poll_until 20 grep -q 'finished step=kick-1' "$DIR/killed"
	kill -KILL $!
	wait $! || true
	drain
	jq -e '.summary.complete' "$DIR/drain.json"
	[ "$(step stop .result)" = skipped ]
	on b "$user" dump >"$DIR/b.txt"
	grep -q Flagged "$DIR/b.txt"
}

@test "unimportant changes stay, unless they are asked for" {
	alone
	on a "$user" append INBOX 2
	mc a flushall -q >/dev/null
	# What a client asks for is cached.
	on a "$user" fetch INBOX >/dev/null
	drain
	jq -e '.summary.complete and .summary.uploaded == 0' "$DIR/drain.json"
	drain --all-changes
	jq -e '.summary.complete and .summary.uploaded >= 1' "$DIR/drain.json"
}

@test "out of the director first: no new users, those that are there move with every flag" {
	pair_addresses
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d"
	pair_direct
	mc a boot start -q >/dev/null
	director update "$B_HOST" 0
	poll_until 20 director move "$user" "$A_HOST"
	on d "$user" append INBOX 3 '(\Flagged $Work)'
	on d "$user" dump >"$DIR/before.txt"
	director update "$B_HOST" 100
	[ -e "$(home_of a "$user")" ]
	drain -n --director --prune
	[ "$(step director-vhosts .result)" = would ]
	[ "$(step director-vhosts .detail)" = 'vhosts 100 to 0' ]
	[ "$(step director-wait .count)" = 1 ]
	director status | grep -E "^$A_HOST +100 +up .* 1 *$"
	drain --director --prune --expire-wait 0
	[ "$(jq -r '.steps[].step' "$DIR/drain.json" | paste -sd' ')" = \
		'director-vhosts director-wait prune flush-1 stop kick-1 flush-2 wait kick-2 flush-3 director-down director-flush mark-clean' ]
	[ "$(jq -r '.steps[].result' "$DIR/drain.json" | sort -u)" = done ]
	jq -e '.summary.complete' "$DIR/drain.json"
	director status | grep -E "^$A_HOST +0 +down .* 0 *$"
	on d "$user" dump >"$DIR/after.txt"
	diff "$DIR/before.txt" "$DIR/after.txt"
	[ -e "$(home_of b "$user")" ]
	# Again: there is nothing left to do.
	drain --director --expire-wait 1min
	[ "$(step director-vhosts .result)$(step director-down .result)$(step stop .result)" = skippedskippedskipped ]
	[ "$(step director-wait .duration_ms)" -lt 30000 ]
}

# crowd N: users without indexes whom the director sends to A.
crowd() {
	seq -f 'crowd%g@example.com' "$1" | "$REAL_DIR/../bench/director.py" "http://127.0.0.1:$(value_of d DIRECTOR_PORT)" \
		"$(<"$DIR/api-key")" "move=$A_HOST"
	poll_until 60 assigned $(($1 + ${2:-0}))
}
assigned() { director status | grep -Eq "^$A_HOST .* $1 *\$"; }

@test "more users than the director moves within director_timeout: waited for, to the last" {
	pair_addresses
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d"
	pair_direct
	crowd 250
	director update "$A_HOST" 0
	drain --director --from director-down -o director_timeout=2s
	jq -e '.summary.complete' "$DIR/drain.json"
	[ "$(step director-flush '[.result, .count] | join(" ")')" = 'done 250' ]
	assigned 0
}

@test "clients that come back at once, and many to be moved: all they were told is on the next backend" {
	pair_addresses
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d"
	pair_direct
	mc a boot start -q >/dev/null
	for i in 1 2 3; do
		move_user "u$i@example.com" "$A_HOST"
		on d "u$i@example.com" append INBOX 1
	done
	mc a flushall -q >/dev/null
	for i in 1 2 3; do
		"$REAL_DIR/imap" "$(value_of d DIRECTOR_IMAP_PORT)" "u$i@example.com" insist INBOX "$DIR/told.$i" 2>/dev/null 3>&- &
		holders+=($!)
	done
	crowd 300 3
	for i in 1 2 3; do poll_until 20 grep -q K3 "$DIR/told.$i"; done
	drain --director --expire-wait 0
	jq -e '.summary.complete and .summary.conflicts == 0' "$DIR/drain.json"
	[ "$(step director-flush .count)" = 303 ]
	# They go on there.
	for i in 1 2 3; do
		lines=$(wc -l <"$DIR/told.$i")
		poll_until 20 eval '[ "$(wc -l <"$DIR/told.$i")" -ge $((lines + 2)) ]'
	done
	kill "${holders[@]}"
	wait "${holders[@]}" || true
	mc b flushall -f json | jq -e '.summary.conflicts == 0'
	for i in 1 2 3; do
		on b "u$i@example.com" dump | sed -n 's/^  1 \[\(.*\)\] .*/\1/p' | tr ' ' '\n' | sort >"$DIR/there.$i"
		[ -z "$(sort "$DIR/told.$i" | comm -23 - "$DIR/there.$i")" ]
	done
}

@test "a director that refuses or is away: nothing on this host is stopped" {
	pair_addresses
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d"
	pair_direct
	hold "$user"
	drain --director -o backend_host=127.0.0.99 && return 1
	[ "$(step director-vhosts .result)" = failed ]
	"$REAL_DIR/stop" "$DIR/d"
	drain --director && return 1
	[ "$(step director-vhosts .result)" = failed ]
	[ "$(jq -r '.steps[1:][].result' "$DIR/drain.json" | sort -u)" = not_done ]
	on a "$user" login
	kill -0 "${holders[0]}"
}
