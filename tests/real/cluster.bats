#!/usr/bin/env bats
# doveadm's HTTP API as a real backend and a real director speak it: who is logged in, services, changes.

bats_require_minimum_version 1.5.0

setup_file() {
	local real=$BATS_TEST_DIRNAME
	. "$real/lib.bash"
	SCRATCH=$(scratch_make)
	export SCRATCH
	set -a
	out=$(EXTRA_CONF="listen = 127.0.0.1, 127.0.0.11" "$real/start-dovecot" "$SCRATCH" index a)
	eval "$out"
	out=$(PROXY_PORT=$IMAP_PORT "$real/start-director" "$SCRATCH" d)
	eval "$out"
	set +a
}

teardown_file() {
	"$BATS_TEST_DIRNAME/stop" "$SCRATCH"/* 2>/dev/null || true
	rm -rf "$SCRATCH"
}

setup() {
	PROJECT_DIR=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BUILD=${BUILD:-$PROJECT_DIR/build}
	. "$BATS_TEST_DIRNAME/lib.bash"
	PATH=$BATS_TEST_DIRNAME:$BUILD/tests/real:$PATH
	holders=()
}

teardown() {
	((${#holders[@]} == 0)) || kill "${holders[@]}" 2>/dev/null || true
	poll_until 10 sessions_are 0
}

backend() { KEY=$DOVEADM_API_KEY doveadm_cli "http://127.0.0.1:$DOVEADM_PORT" "$@"; }
director() { KEY=$DIRECTOR_API_KEY doveadm_cli "http://127.0.0.1:$DIRECTOR_PORT" "$@"; }
sessions_are() { [ "$(backend sessions)" = "$1" ]; }

# hold PORT USER: logged in until the test ends
hold() {
	local ready=$BATS_TEST_TMPDIR/ready.${#holders[@]}
	mkfifo "$ready"
	mkfifo "$ready.in"
	imap "$1" "$2" hold-login <>"$ready.in" >"$ready" 3>&- &
	holders+=($!)
	timeout 30 head -n 1 "$ready" | grep -q ready
}

@test "who: counted by user, whatever the name looks like" {
	local user
	hold "$IMAP_PORT" user@example.com
	hold "$IMAP_PORT" user@example.com
	hold "$IMAP_PORT" 12.34
	hold "$IMAP_PORT" 4711
	poll_until 10 sessions_are 4
	[ "$(backend who user@example.com)" = 2 ]
	[ "$(backend who USER@example.com)" = 2 ]
	for user in 12.34 4711; do
		[ "$(backend who $user)" = 1 ]
	done
	for user in ser@example.com user@example.co 12.3 12.345 471 47110 '*' 'user@*' 127.0.0.1 127.0.0.0/8; do
		[ "$(backend who "$user")" = 0 ]
	done
}

@test "who: a session that came through the director" {
	hold "$IMAP_PORT" other@example.com
	doveadm -c "$SCRATCH/d/dovecot.conf" director move proxied@example.com 127.0.0.11
	hold "$DIRECTOR_IMAP_PORT" proxied@example.com
	[ "$(backend who proxied@example.com)" = 1 ]
	[ "$(KEY=$DIRECTOR_API_KEY owner_cli "http://127.0.0.1:$DIRECTOR_PORT" 127.0.0.11 proxied@example.com | cut -f2)" = here ]
	# It is moved away, and while its session has not ended yet, only who knows it.
	doveadm -c "$SCRATCH/d/dovecot.conf" director move proxied@example.com 127.0.0.12
	[ "$(KEY=$DIRECTOR_API_KEY owner_cli "http://127.0.0.1:$DIRECTOR_PORT" 127.0.0.11 proxied@example.com | cut -f2)" = elsewhere ]
}

@test "kick: those that the mask matches" {
	hold "$IMAP_PORT" a@example.com
	hold "$IMAP_PORT" b@example.com
	hold "$IMAP_PORT" c@example.org
	poll_until 10 sessions_are 3
	[ "$(backend kick '*@example.com')" = 2 ]
	poll_until 10 sessions_are 1
	[ "$(backend kick nobody@example.com)" = 0 ]
	[ "$(backend kick '*')" = 1 ]
	poll_until 10 sessions_are 0
	[ "$(backend kick '*')" = 0 ]
}

@test "services: which there are, and one that is stopped takes no new connection" {
	hold "$IMAP_PORT" a@example.com
	backend services | grep -qx 'imap [1-9][0-9]* -'
	backend services | grep -Eqx 'imap-login [0-9]+ -'
	backend stop imap-login
	backend services | grep -Eqx 'imap-login [0-9]+ stopped'
	run ! imap "$IMAP_PORT" a@example.com login
	[ "$(backend who a@example.com)" = 1 ]
	run -66 --separate-stderr backend stop nosuch
	[[ $stderr == *"no such service"* ]]
	doveadm -c "$SCRATCH/a/dovecot.conf" reload
	poll_until 10 imap "$IMAP_PORT" a@example.com login
}

@test "a director's backends: drained, taken down, flushed, brought back" {
	[ "$(director hosts | paste -sd ,)" = \
		'127.0.0.11 "" 100 up,127.0.0.12 "" 100 up,127.0.0.13 "" 100 up' ]
	director update 127.0.0.11 0
	director down 127.0.0.12
	[ "$(director hosts | paste -sd ,)" = \
		'127.0.0.11 "" 0 up,127.0.0.12 "" 100 down,127.0.0.13 "" 100 up' ]
	doveadm -c "$SCRATCH/d/dovecot.conf" director move flushed@example.com 127.0.0.11
	director flush 127.0.0.11
	doveadm -c "$SCRATCH/d/dovecot.conf" director status flushed@example.com | grep -qx 'Current: 127.0.0.13 .*'
	director update 127.0.0.11 100
	director up 127.0.0.12
	[ "$(director hosts | cut -d ' ' -f 3,4 | sort -u)" = "100 up" ]
	for command in "down 127.0.0.99" "flush 127.0.0.99"; do
		run -66 --separate-stderr director $command
		[[ $stderr == *"no such backend"* ]]
	done
	run -75 director update 127.0.0.99 5 # what doveadm says of this one
}

@test "commands that the API is not allowed to do: 77" {
	local out
	out=$(EXTRA_CONF="doveadm_allowed_commands = who" start-director "$SCRATCH" few)
	eval "$out"
	run -77 --separate-stderr director hosts
	[[ $stderr == *unAuthorized* && $stderr == *doveadm_allowed_commands* ]]
	director sessions
	stop "$SCRATCH/few"
}
