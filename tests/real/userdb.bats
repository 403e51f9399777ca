#!/usr/bin/env bats
# metacache-update-userdb on the userdb of a real Dovecot.

bats_require_minimum_version 1.5.0

setup_file() {
	local real=$BATS_TEST_DIRNAME
	. "$real/lib.bash"
	SCRATCH=$(scratch_make)
	cat >"$SCRATCH/users" <<-'USERS'
		alice@example.com:::::::userdb_user_alias=a.smith@example.com userdb_user_id=4711
		bob@example.com:::::::userdb_mail_max_userip_connections=5
		carol@example.com:::::::userdb_user_alias=Ä"\ä
		empty@example.com:::::::userdb_user_alias= userdb_user_flag
		renamed@example.com:::::::userdb_user=other@example.com userdb_user_alias=r
	USERS
	chmod 644 "$SCRATCH/users"
	export SCRATCH
	set -a
	out=$(USERDB=$SCRATCH/users "$real/start-dovecot" "$SCRATCH" index a)
	eval "$out"
	set +a
}

teardown_file() {
	"$BATS_TEST_DIRNAME/stop" "$SCRATCH/a" 2>/dev/null || true
	rm -rf "$SCRATCH"
}

setup() {
	PROJECT_DIR=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BUILD=${BUILD:-$PROJECT_DIR/build}
	BIN=$(cd "${BIN:-$BUILD/bin}" && pwd)
	. "$BATS_TEST_DIRNAME/lib.bash"
	. "$PROJECT_DIR/tests/json.bash"
	W=$BATS_TEST_TMPDIR
	mkdir -p "$W/idx" "$W/state"
	cat >"$W/conf" <<-CONF
		mail_home = $W/idx/%2Mu/%u
		state_dir = $W/state
		doveadm_url = http://127.0.0.1:$DOVEADM_PORT
		doveadm_api_key = $DOVEADM_API_KEY
	CONF
	register alice@example.com bob@example.com carol@example.com empty@example.com keeper@example.com \
		nobody@example.com renamed@example.com
}
teardown() { json_valid; }

mc() { json_kept "$BIN/metacache-$1" -c "$W/conf" "${@:2}"; }
fields() { mc "${@:2}" -f tab --field "$1" | tail -n +2; }

results() { fields username,result update-userdb "$@" | tr '\t\n' '= '; }
# Dovecot looks at its passwd-file again some time within a second or two.
plans() { [ "$(results -n)" = "$1" ]; }
fails() { ! mc update-userdb -n; }
knows() { [ "$(fields result update-userdb -n -u "$1")" != unknown ]; }
users_are() {
	cat >"$SCRATCH/users"
	poll_until 10 knows "$1"
}

# register USER…: homes that a rescan finds
register() {
	local name home
	for name in "$@"; do
		home=$W/idx/$(printf %s "$name" | md5sum | cut -c1-2)/$name
		mkdir -p "$home"
		head -c 100 /dev/urandom >"$home/dovecot.list.index.log"
	done
	mc rescan -q >/dev/null
}

@test "extra fields user_* become alternative names; others, empty ones and unknown users do not" {
	[ "$(fields username,result,aliases update-userdb | tr '\t\n' '= ')" = "alice@example.com=updated=2 bob@example.com=unchanged=0 carol@example.com=updated=1 empty@example.com=unchanged=0 keeper@example.com=unknown=0 nobody@example.com=unknown=0 renamed@example.com=updated=1 " ]
	[ "$(fields username,user_alias,user_id list alice@example.com)" = \
		$'alice@example.com\ta.smith@example.com\t4711' ]
	[ "$(mc list -f json --field user_alias carol@example.com | jq -r '.users[0].user_alias')" = 'Ä"\ä' ]
	[ "$(fields username list 'a.smith@*')" = alice@example.com ]
	[ "$(mc update-userdb -f json | jq -c '.summary | [.updated, .unchanged, .unknown, .failed]')" = '[0,5,2,0]' ]
}

@test "what userdb says now replaces what it said" {
	mc update-userdb -q >/dev/null
	sed 's/ userdb_user_id=4711//; s/^bob.*/& userdb_user_x=1/; /^carol/d' "$SCRATCH/users" >"$W/users"
	cat "$W/users" >"$SCRATCH/users"
	want="alice@example.com=updated bob@example.com=updated carol@example.com=unknown empty@example.com=unchanged keeper@example.com=unknown nobody@example.com=unknown renamed@example.com=unchanged "
	poll_until 10 plans "$want"
	[ "$(results)" = "$want" ]
	[ "$(fields username,user_id,user_x list | grep -E '^(alice|bob)' | paste -sd' ')" = \
		$'alice@example.com\t\t bob@example.com\t\t1' ]
	# Kept: nobody knows why it is gone.
	[ "$(fields user_alias list carol@example.com)" = 'Ä"\ä' ]
	run -67 --separate-stderr mc update-userdb -u carol@example.com -u bob@example.com
	[[ "$stderr" == "metacache-update-userdb: carol@example.com: no such user in the userdb" ]]
}

@test "names that doveadm takes for masks, and others that are odd" {
	register 'm*sk@example.com' 'a"b@example.com' 'a b@example.com' 'jürgen@example.com'
	run -75 --separate-stderr mc update-userdb -f json
	[[ "$stderr" == *"m*sk@example.com: doveadm can't be asked for such a name"* ]]
	[ "$(jq -c '[.summary.users, .summary.failed]' <<<"$output")" = '[11,1]' ]
}

@test "a userdb that fails is no userdb without the user: 75, names stay" {
	users_are keeper@example.com <<<'keeper@example.com:::::::userdb_user_alias=kept'
	mc update-userdb -u keeper@example.com >/dev/null
	touch -d '1 hour ago' "$SCRATCH/users" # so that it is opened again
	chmod 000 "$SCRATCH/users"
	poll_until 10 fails
	run -75 --separate-stderr mc update-userdb -f json
	chmod 644 "$SCRATCH/users"
	[ "$(jq -c '.summary | [.failed, .unknown]' <<<"$output")" = '[7,0]' ]
	[ "$(fields user_alias list keeper@example.com)" = kept ]
}

@test "a wrong key is 77, a Dovecot that is stopped 69; both leave everything" {
	users_are keeper@example.com <<<'keeper@example.com:::::::userdb_user_alias=kept'
	# Dovecot may still have in mind that it could not read the file.
	poll_until 10 mc update-userdb -u keeper@example.com
	run -77 --separate-stderr mc update-userdb -o doveadm_api_key=wrong
	[[ "$stderr" != *wrong* ]]
	"$BATS_TEST_DIRNAME/stop" "$SCRATCH/a"
	run -69 --separate-stderr mc update-userdb
	[ "$(fields user_alias list keeper@example.com)" = kept ]
}
