#!/usr/bin/env bats
# metacache-drain: which steps, in which order, and what each failure stops. With a stand-in for
# Dovecot; the real one is in tests/real/drain.bats.

STEPS='flush-1 stop kick-1 flush-2 wait kick-2 flush-3 mark-clean'

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2
	S=$BATS_TEST_TMPDIR/standin
	mkdir "$S"
	"$BATS_TEST_DIRNAME/drain-standin" "$S" >"$S/url" 3>&- &
	holder=$!
	for _ in $(seq 500); do [ ! -s "$S/url" ] || break; sleep 0.02; done
	printf 'doveadm_url = %s\ndoveadm_api_key = SECRETKEY\n' "$(<"$S/url")" >>"$W/here/conf"
	out=$BATS_TEST_TMPDIR/out
}

# drained CODE ARG…: that code; the JSON is in $out.
drained() {
	local code=$1 status=0
	shift
	mc drain -f json "$@" >"$out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
	[ "$status" = "$code" ] && return
	echo "$status, not $code"
	cat "$out" "$BATS_TEST_TMPDIR/err"
	return 1
}
results() { jq -r '.steps[] | .step + "=" + .result' "$out" | paste -sd' '; }
summary() { jq -c "[.summary | $1]" "$out"; }
# done_until STEP RESULT [REST]: all before it are done, it is that, and the rest is not done.
ends_at() {
	local step seen= want=
	for step in $STEPS; do
		if [ "$step" = "$1" ]; then want+="$step=failed " seen=1; elif [ "$seen" ]; then
			want+="$step=not_done "; else want+="$step=done "; fi
	done
	[ "$(results)" = "${want% }" ] && [ "$(summary .failed)" = "[\"$1\"]" ] && [ "$(summary .complete)" = '[false]' ] && return
	results
	return 1
}

@test "the order of the steps, and what they do" {
	mc boot start -q >/dev/null
	drained 0
	[ "$(results)" = "$(sed 's/\([^ ]*\)/\1=done/g' <<<"$STEPS")" ]
	[ "$(summary '.complete, .failed, .uploaded, .conflicts, .kicked, .sessions_left')" = '[true,null,6,0,1,0]' ]
	[ "$(paste -sd, "$S/log")" = 'stop imap-login,stop lmtp,kick *,kick *' ]
	[ "$(jq '[.steps[] | select(.step == "wait")][0].duration_ms >= 1000' "$out")" = true ]
	[ "$(mc boot status -f json | jq -r .boots[0].state)" = stopped ]
	diff <(tree_of "$idx") <(storage_of)
	# Again: there is nothing left to do.
	drained 0
	[ "$(jq -r '.steps[] | select(.step == "stop") | .result' "$out")" = skipped ]
	[ "$(summary '.complete, .uploaded, .kicked')" = '[true,0,0]' ]
	mc drain -f jsonl --from mark-clean | tail -1 | jq -e .summary.complete
	[ "$(mc drain --from mark-clean -f tab | head -1)" = $'step\tresult\tcount\tdetail\tduration_ms\terror' ]
}

@test "-n changes nothing, neither here nor in Dovecot nor in storage" {
	mc boot start -q >/dev/null
	remember
	drained 0 -n
	[ "$(results)" = "$(sed 's/\([^ ]*\)/\1=would/g' <<<"$STEPS")" ]
	[ "$(jq -c '[.steps[] | .count]' "$out")" = '[2,2,1,2,0,1,2,0]' ]
	[ "$(summary '.complete, .uploaded, .kicked')" = '[false,0,0]' ]
	[ ! -e "$S/log" ]
	untouched
}

@test "boots that are not noted are not marked; a damaged file fails the step" {
	drained 0 --from flush-3
	[ "$(results)" = 'flush-3=done mark-clean=skipped' ]
	[ ! -e "$W/here/state/reboots" ]
	echo x >"$W/here/state/reboots"
	drained 65 --from flush-3
	[ "$(results)" = 'flush-3=done mark-clean=failed' ]
}

@test "uploads that fail: nobody is kicked, nothing is marked; --force goes on" {
	mc boot start -q >/dev/null
	mv "$W/store" "$W/away"
	touch "$W/store"
	drained 74
	[ ! -s "$out" ]
	rm "$W/store" && mv "$W/away" "$W/store"
	hold_user() { python3 -c 'import fcntl,os,struct,sys,time
for name in os.listdir(sys.argv[1]):
    fd = os.open(os.path.join(sys.argv[1], name), os.O_RDWR)
    fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
print("held", flush=True)
time.sleep(600)' "$W/here/state/locks" 3>&- >"$S/held" & }
	hold_user
	locker=$!
	for _ in $(seq 500); do [ ! -s "$S/held" ] || break; sleep 0.02; done
	drained 75 -o user_lock_timeout=0
	ends_at flush-1
	[ ! -e "$S/log" ]
	grep -q "metacache-drain: $user: user \"$user\" is locked" "$BATS_TEST_TMPDIR/err"
	drained 75 -o user_lock_timeout=0 --force
	[ "$(results)" = 'flush-1=failed stop=done kick-1=done flush-2=failed wait=done kick-2=done flush-3=failed mark-clean=done' ]
	[ "$(summary '.failed, .complete')" = '["flush-1",false]' ]
	kill "$locker"
	drained 0
	[ "$(summary .uploaded)" = '[6]' ]
}

@test "Dovecot that refuses, makes no sense, goes on or is away: what was done is done, and no more" {
	mc boot start -q >/dev/null
	for fault in 'fail serviceStop' 'fail serviceStatus' 'garbage serviceStop' deaf; do
		echo "$fault" >"$S/rules"
		status=0
		mc drain -f json >"$out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
		[[ " 65 69 75 " == *" $status "* ]]
		ends_at stop
		run -1 grep SECRETKEY "$out" "$BATS_TEST_TMPDIR/err"
	done
	for fault in 'fail kick' 'garbage kick' 'fail who'; do
		echo "$fault" >"$S/rules"
		status=0
		mc drain -f json --from kick-1 >"$out" 2>/dev/null || status=$?
		[[ " 65 69 75 " == *" $status "* ]]
		[ "$(results)" = 'kick-1=failed flush-2=not_done wait=not_done kick-2=not_done flush-3=not_done mark-clean=not_done' ]
	done
	[ "$(mc boot status -f json | jq -r .boots[0].state)" = running ]
	kill "$holder" && wait "$holder" || true
	holder=
	drained 69
	ends_at stop
	drained 78 -o doveadm_url=
	ends_at stop
	grep -q 'with Dovecot stopped already, --from flush-3' "$BATS_TEST_TMPDIR/err"
	drained 0 --from flush-3
}

@test "sessions that do not end are told: 75, and all the rest is done" {
	echo 'sessions 3' >"$S/rules"
	drained 75
	[ "$(summary '.complete, .sessions_left')" = '[true,3]' ]
	grep -q '3 sessions did not end' "$BATS_TEST_TMPDIR/err"
	grep -q '3 sessions are still there' "$out"
}

@test "a conflict is told once and is 65; it stops nothing" {
	mc flushall -q >/dev/null
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	world_change
	drained 65 -q
	[ "$(results | tr ' ' '\n' | grep -c '=done')" = 7 ]
	[ "$(summary '.complete, .conflicts')" = '[true,2]' ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 2 ]
}

@test "prune: who is elsewhere goes, of whom it is not known is kept, and counted; leftovers are swept" {
	mc flushall -q >/dev/null
	printf '%s\tthere\nnobody@example.com\there\n' "$user" >"$W/map"
	echo "director = map:$W/map" >>"$W/here/conf"
	mkdir -p "$idx/.trash/left"
	drained 0 -n --prune --older-than 0
	[ -e "$idx/.trash/left" ]
	drained 0 --prune --older-than 0
	[ "$(jq -r '.steps[0] | .step, .result, .count' "$out" | paste -sd' ')" = 'prune done 1' ]
	jq -e '.steps[0].detail | endswith("1 users are kept, of 1 it is not known whose they are")' "$out"
	[ ! -e "$home" ]
	[ ! -e "$idx/.trash/left" ]
}

@test "--service: these instead of the usual ones; one that is not there fails" {
	drained 0 --service auth --service lmtp
	[ "$(head -2 "$S/log" | paste -sd,)" = 'stop auth,stop lmtp' ]
	drained 66 --service nope --from stop
	ends=$(results)
	[[ "$ends" == stop=failed* ]]
}

@test "--from, --expire-wait and others that make no sense are 64, and the director has to be known: 78" {
	says 64 'no such step: "kick" (there are director-vhosts, director-wait,' drain --from kick
	says 64 '--expire-wait "x"' drain --expire-wait x
	says 64 '--older-than "x"' drain --older-than x
	says 64 'one argument too many' drain x
	drained 78 --director
	[[ "$(results)" == 'director-vhosts=failed director-wait=not_done flush-1=not_done stop=not_done '*'flush-3=not_done director-down=not_done director-flush=not_done mark-clean=not_done' ]]
	grep -q 'the director is only told by its HTTP API' "$BATS_TEST_TMPDIR/err"
	[ ! -e "$S/log" ]
}

@test "two at once: the second is refused with 75, at once" {
	echo 'sessions 1' >"$S/rules"
	"$BIN/metacache-drain" -q -c "$W/here/conf" >/dev/null 2>&1 3>&- &
	first=$!
	for _ in $(seq 500); do [ ! -e "$S/log" ] || break; sleep 0.02; done
	says 75 'another metacache-drain is running' drain -q
	mc drain -n -q >/dev/null
	kill "$first"
	wait "$first" || true
	rm "$S/rules"
	drained 0
}
