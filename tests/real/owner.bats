#!/usr/bin/env bats
# Who owns a user, asked of a real director: here and elsewhere where it is certain, unknown where it is not.

bats_require_minimum_version 1.5.0

HERE=127.0.0.11

setup_file() {
	local real=$BATS_TEST_DIRNAME
	. "$real/lib.bash"
	SCRATCH=$(scratch_make)
	export SCRATCH
	set -a
	out=$("$real/start-director" "$SCRATCH" d)
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
	at_director "$SCRATCH/d" "$DIRECTOR_PORT" "$DIRECTOR_ADMIN"
	stopped=
}

teardown() {
	[[ -z $stopped ]] || kill -CONT "$stopped"
	local host
	for host in 127.0.0.11 127.0.0.12 127.0.0.13; do
		doveadm -c "$SCRATCH/d/dovecot.conf" director update "$host" 100
		doveadm -c "$SCRATCH/d/dovecot.conf" director up "$host"
	done
}

# at_director DIR HTTP_PORT SOCKET: the director that the functions below mean
at_director() {
	conf=$1/dovecot.conf http=http://127.0.0.1:$2 admin=unix:$3
	export KEY=directorkey
}

director() { doveadm -c "$conf" director "$@"; }
# move USER HOST: as soon as an earlier move has ended
move() { poll_until 20 director move "$@"; }
owners() { owner_cli "$1" "$HERE" -o director_timeout=3s "${@:2}"; }

# where URL USER...: in one line
where() { owners "$@" 2>/dev/null | cut -f2 | paste -sd ' '; }
both() { [ "$(where "$http" "${@:2}")" = "$1" ] && [ "$(where "$admin" "${@:2}")" = "$1" ]; }

# hashed HOST: the name of a user that nobody has assigned, and that is hashed to HOST
hashed() {
	local i
	for ((i = 0; ; i++)); do
		user=$BATS_TEST_NUMBER-$1-$i@example.com
		if director status "$user" | grep -qx "Hashed: $1"; then
			echo "$user"
			return
		fi
	done
}

# reason URL USER
reason() { owners "$1" "$2" 2>/dev/null | cut -f5; }

# fails STATUS TEXT URL: nothing is known of anybody
fails() {
	run -"$1" --separate-stderr owners "$3" one@example.com two@example.com
	[[ $stderr == *"$2"* ]]
	[ "$(cut -f2 <<<"$output" | sort -u)" = unknown ]
}

@test "here, elsewhere, unassigned" {
	local mine other
	mine=$(hashed $HERE) other=$(hashed 127.0.0.12)
	move here@example.com $HERE
	move away@example.com 127.0.0.13
	both "here elsewhere here would-be-elsewhere" here@example.com away@example.com "$mine" "$other"
	[ "$(owners "$http" away@example.com "$other" | cut -f3 | paste -sd ' ')" = "127.0.0.13 127.0.0.12" ]
}

@test "when an assignment ends is told, by both in the same way" {
	local now expires
	move away@example.com 127.0.0.13
	now=$(date +%s)
	for url in "$http" "$admin"; do
		expires=$(owners "$url" away@example.com | cut -f4)
		((expires > now + 880 && expires <= now + 910))
	done
}

@test "moved: the next answer is the new one" {
	move mover@example.com $HERE
	both here mover@example.com
	move mover@example.com 127.0.0.12
	both elsewhere mover@example.com
	move mover@example.com $HERE
	both here mover@example.com
}

@test "upper case is the same user" {
	move Mixed@Example.com $HERE
	both "here here" mixed@example.com MIXED@EXAMPLE.COM
	move mixed@example.com 127.0.0.13
	both "elsewhere elsewhere" mixed@example.com MIXED@EXAMPLE.COM
}

@test "a name of digits is asked for by its hash, and unknown where nobody tells it" {
	move 4711 $HERE
	# What the director says of the hash 4711, which is another user's.
	director status 4711 | grep -q 'Current: n/a'
	[ "$(where "$http" a@example.com 4711 0)" = "$(where "$http" a@example.com) here $(where "$http" 0)" ]
	[ "$(where "$admin" 4711)" = unknown ]
	move 4711 127.0.0.13
	[ "$(where "$http" 4711)" = elsewhere ]
	[[ $(reason "$admin" 4711) == *hash* ]]
}

@test "this host drained: where an unassigned user is hashed to proves nothing" {
	local mine other
	mine=$(hashed $HERE) other=$(hashed 127.0.0.12)
	move here@example.com $HERE
	move away@example.com 127.0.0.13
	director update $HERE 0
	both "unknown unknown here elsewhere" "$mine" "$other" here@example.com away@example.com
	[[ $(reason "$http" "$mine") == *"takes no users"* ]]
}

@test "this host down: the same" {
	local mine other
	mine=$(hashed $HERE) other=$(hashed 127.0.0.12)
	director down $HERE
	both "unknown unknown" "$mine" "$other"
}

@test "the other host down: users assigned to it are unknown, the rest is not" {
	local other
	move away@example.com 127.0.0.13
	other=$(hashed 127.0.0.13)
	director down 127.0.0.13
	both unknown away@example.com
	[[ $(owners "$http" "$other" | cut -f3) == 127.0.0.1[12] ]]
	director update $HERE 0
	director down 127.0.0.12
	both "unknown unknown" "$other" new@example.com
	[[ $(reason "$http" new@example.com) == *"no host"* ]]
}

@test "an assignment that ends soon and falls back to this host is unknown, then here" {
	local out user
	out=$(USER_EXPIRE="10 s" start-director "$SCRATCH" quick)
	eval "$out"
	at_director "$SCRATCH/quick" "$DIRECTOR_PORT" "$DIRECTOR_ADMIN"
	user=$(hashed $HERE)
	move "$user" 127.0.0.13
	both unknown "$user"
	[[ $(reason "$http" "$user") == *"not for long"* ]]
	[[ $(reason "$admin" "$user") == *"not for long"* ]]
	poll_until 30 both here "$user"
	stop "$SCRATCH/quick"
}

@test "backends in groups: users are looked up in the group of this host" {
	local out
	out=$(BACKENDS="127.0.0.11@g1 127.0.0.12@g1 127.0.0.13" start-director "$SCRATCH" tags)
	eval "$out"
	at_director "$SCRATCH/tags" "$DIRECTOR_PORT" "$DIRECTOR_ADMIN"
	move here@example.com 127.0.0.11
	move away@example.com 127.0.0.12
	both "here elsewhere" here@example.com away@example.com
	# Without the group, everybody would be hashed to the one host that is in none.
	director status here@example.com | grep -qx 'Hashed: 127.0.0.13'
	stop "$SCRATCH/tags"
}

@test "backend_host is a typo: 78, nothing is known" {
	HERE=127.0.0.19 fails 78 'none of the director'"'"'s backends (127.0.0.11, 127.0.0.12, 127.0.0.13)' "$http"
	HERE=127.0.0.19 fails 78 'backend_host 127.0.0.19' "$admin"
	HERE=backend1 fails 78 'backend_host backend1' "$http"
	HERE=127.0.0.1 fails 78 'backend_host 127.0.0.1 ' "$http"
}

@test "a wrong key: 77" {
	KEY=wrong fails 77 'HTTP status 401' "$http"
	[[ $stderr == *doveadm_api_key* && $stderr != *wrong* ]]
}

@test "the director does not answer: 69 when the time is over" {
	stopped=$(pgrep -P "$(<"$SCRATCH/d/run/master.pid")" -x director)
	kill -STOP "$stopped"
	fails 69 'no answer in time' "$http"
	fails 69 'no answer in time' "$admin"
	kill -CONT "$stopped"
	stopped=
	poll_until 10 both "$(where "$http" a@example.com)" a@example.com
}

@test "no director on this Dovecot: 69 or 75, nothing is known" {
	local out
	out=$(start-dovecot "$SCRATCH" index plain)
	eval "$out"
	run --separate-stderr owner_cli "http://127.0.0.1:$DOVEADM_PORT" $HERE one@example.com
	((status == 77)) # the other key
	KEY=$DOVEADM_API_KEY
	run --separate-stderr owner_cli "http://127.0.0.1:$DOVEADM_PORT" $HERE one@example.com
	((status == 69 || status == 75))
	[[ $output == *unknown* ]]
	stop "$SCRATCH/plain"
}

@test "somebody else answers there: nothing is known" {
	local run=$SCRATCH/d/run
	fails 69 'speak HTTP' "http://127.0.0.1:$DIRECTOR_IMAP_PORT"
	fails 65 'no director-admin socket' "unix:$run/stats-reader"
	fails 69 'has ended' "unix:$run/config" || fails 65 'no director-admin' "unix:$run/config"
}

@test "https: a certificate that this host does not trust is refused" {
	local out tls=$SCRATCH/tls
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$tls.key" -out "$tls.crt" 2>/dev/null
	out=$(EXTRA_CONF="
		ssl = yes
		ssl_cert = <$tls.crt
		ssl_key = <$tls.key
		service doveadm {
		  inet_listener http {
		    ssl = yes
		  }
		}" start-director "$SCRATCH" tls)
	eval "$out"
	curl -s --cacert "$tls.crt" "https://127.0.0.1:$DIRECTOR_PORT/" >/dev/null
	fails 69 certificate "https://127.0.0.1:$DIRECTOR_PORT"
	stop "$SCRATCH/tls"
}

@test "the director is stopped: 69" {
	local out
	out=$(start-director "$SCRATCH" gone)
	eval "$out"
	at_director "$SCRATCH/gone" "$DIRECTOR_PORT" "$DIRECTOR_ADMIN"
	[ "$(where "$http" a@example.com)" != unknown ]
	stop "$SCRATCH/gone"
	fails 69 "127.0.0.1" "$http"
	fails 69 'director-admin' "$admin"
}

@test "10,000 users, by both ways, agree with doveadm" {
	seq -f 'user%g@example.com' 10000 >"$BATS_TEST_TMPDIR/users"
	owners "$http" <"$BATS_TEST_TMPDIR/users" | cut -f1-3 >"$BATS_TEST_TMPDIR/http"
	owners "$admin" <"$BATS_TEST_TMPDIR/users" | cut -f1-3 >"$BATS_TEST_TMPDIR/admin"
	cmp "$BATS_TEST_TMPDIR/http" "$BATS_TEST_TMPDIR/admin"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/http")" -eq 10000 ]
	[ "$(cut -f2 "$BATS_TEST_TMPDIR/http" | sort -u | paste -sd ' ')" = "here would-be-elsewhere" ]
	local user
	for user in user1 user2 user3 user9999; do
		[ "$(grep "^$user@" "$BATS_TEST_TMPDIR/http" | cut -f3)" = \
			"$(director status "$user@example.com" | sed -n 's/^Hashed: //p')" ]
	done
}
