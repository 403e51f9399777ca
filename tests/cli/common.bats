#!/usr/bin/env bats
# What all commands do alike: options, settings, user names, outputs that fail, stores that are
# away, secrets.

setup() { . "$BATS_TEST_DIRNAME/world.bash"; }

# metacache-status has options of its own for what is common: its tests are in status.bats.
ALL="list flush flushall clean refresh rescan remove update-userdb boot"
STORING="flush flushall clean refresh"

# needs PROGRAM: the arguments without which it does not run.
needs() {
	case $1 in
	flush | clean | refresh) echo "-u ${user:-user@example.com}" ;;
	remove) echo "-n ${user:-user@example.com}" ;;
	boot) echo start ;;
	esac
}

@test "--help and --version are text on stdout, and nothing else is needed" {
	for program in $ALL drain; do
		run -0 --separate-stderr "$BIN/metacache-$program" --help
		[ -z "$stderr" ]
		[[ "${lines[0]}" == "Usage: metacache-$program [OPTION...]"* ]]
		for option in --config=FILE --option=KEY=VALUE --format=FORMAT --field=NAME --verbose --quiet \
			--debug --log=stderr --log-format=text --version --help; do
			[[ "$output" == *"$option"* ]]
		done
		LC_ALL=C grep -q '[^ -~]' <<<"$output" && false
		run -0 --separate-stderr "$BIN/metacache-$program" --version
		[ -z "$stderr" ]
		[[ "$output" =~ ^metacache-$program\ \(metacache-tools\)\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	done
}

@test "the options of --help are those of the manual pages" {
	for program in $ALL status drain; do
		pages=("$PROJECT_DIR/cmd/$program/metacache-$program.1" "$PROJECT_DIR/man/metacache-tools.7")
		# It refers to the page of flush for what they share.
		[ $program != flushall ] || pages+=("$PROJECT_DIR/cmd/flush/metacache-flush.1")
		cat "${pages[@]}" |
			grep -oE 'Fl -[a-z-]+' | sed 's/Fl -/--/' | sort -u >"$BATS_TEST_TMPDIR/documented"
		"$BIN/metacache-$program" --help | grep -oE '(^|,| ) +--[a-z-]+' | grep -oE -- '--.*' |
			grep -vxE -- '--(user|all|file)' | sort -u >"$BATS_TEST_TMPDIR/offered"
		run -1 grep -vxFf "$BATS_TEST_TMPDIR/documented" "$BATS_TEST_TMPDIR/offered"
		grep -oE 'Fl -[a-z-]+' "$PROJECT_DIR/cmd/$program/metacache-$program.1" | sed 's/Fl -/--/' |
			grep -vxE -- '--(user|all|file)' | sort -u >"$BATS_TEST_TMPDIR/own"
		run -1 grep -vxFf "$BATS_TEST_TMPDIR/offered" "$BATS_TEST_TMPDIR/own"
	done
}

@test "usage errors are 64, one line, and say where help is" {
	users 1
	remember
	for program in $ALL; do
		says 64 '"--nope": unknown option (try metacache-'"$program --help)" "$program" --nope
		[ $program = remove ] || says 64 'one argument too many: "b"' "$program" $(needs "$program") a b ||
			says 64 'one argument too many: "a"' "$program" $(needs "$program") a b
		says 64 'unknown output format "xml"' "$program" $(needs "$program") -f xml
		says 64 '--log "x": expected stderr or syslog' "$program" --log x
		says 64 '--log-format "x": expected text or json' "$program" --log-format x
		says 64 'no such field: "nope"' "$program" $(needs "$program") --field nope
		says 64 'missing argument' "$program" -c
	done
	for program in flush clean refresh; do
		says 64 'which users? -u USER, -F FILE or -A' "$program"
		says 64 'leave out -u and -F' "$program" -A -u x
	done
	for program in flush flushall clean; do
		for bad in 4 x '' -1 1x 99999999999999999999; do
			says 64 'expected a number from 0 to 3' "$program" $(needs "$program") -p "$bad"
		done
	done
	untouched
}

@test "settings that are no good are 78, and say file, line, key, value and what is accepted" {
	users 1
	remember
	for program in $ALL; do
		args=$(needs "$program")
		says 78 '-o: metacache_max_space = "12X" is not a size (accepted: ' \
			"$program" $args -o metacache_max_space=12X
		says 78 '-o: unknown setting "mail_hom" (did you mean mail_home?)' "$program" $args -o mail_hom=x
		says 78 'it does not tell which user' "$program" $args -o mail_home=/srv/x
		says 64 '-o takes key=value' "$program" $args -o mail_home
		says 78 ': there is no such file' "$program" $args -c "$W/none"
		says 78 ': read: Is a directory' "$program" $args -c "$W"
	done
	printf 'mail_home = %s/%%u\nmetacache_close_delay = 2 fortnights\n' "$idx" >"$BATS_TEST_TMPDIR/bad"
	says 78 "$BATS_TEST_TMPDIR/bad: line 2: metacache_close_delay = \"2 fortnights\"" list -c "$BATS_TEST_TMPDIR/bad"
	echo 'no pair' >"$BATS_TEST_TMPDIR/bad"
	says 78 "$BATS_TEST_TMPDIR/bad: line 1: neither a comment nor key = value" list -c "$BATS_TEST_TMPDIR/bad"
	: >"$BATS_TEST_TMPDIR/bad"
	says 78 "$BATS_TEST_TMPDIR/bad: mail_home is not set" list -c "$BATS_TEST_TMPDIR/bad"
	untouched
}

@test "settings that may not be read are 78" {
	[ "$(id -u)" = 0 ] || skip "only root can become somebody else"
	users 1
	chmod 711 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" 2>/dev/null || true
	cp "$BIN/metacache-list" "$BATS_TEST_TMPDIR/" && cp "$W/here/conf" "$BATS_TEST_TMPDIR/conf"
	chmod 000 "$BATS_TEST_TMPDIR/conf"
	# From the folder itself: those above need not be open to others.
	cd "$BATS_TEST_TMPDIR"
	run -78 --separate-stderr setpriv --reuid 65534 --clear-groups ./metacache-list -c conf
	[ "$stderr" = "metacache-list: conf: open: Permission denied" ]
}

@test "on a new host the state directory is made, and is mail_uid's" {
	[ "$(id -u)" = 0 ] || skip "only root can become somebody else"
	users 1
	chmod 711 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" 2>/dev/null || true
	chown -R 65534:65534 "$W"
	mkdir -m 755 "$W/lib"
	as_mail() { mc "$@" -o mail_uid=65534 -o mail_gid=65534 -o state_dir="$W/lib/state"; }
	as_mail config >/dev/null
	[ ! -e "$W/lib/state" ]
	as_mail rescan -q >/dev/null
	[ "$(stat -c '%u %g %a' "$W/lib" "$W/lib/state" | xargs)" = '0 0 755 65534 65534 700' ]
	[ "$(as_mail list -f json | jq '.users | length')" = 1 ]
	# Killed before, between and after the calls that make it.
	for call in 1 2 3 4; do
		rm -rf "$W"/lib/*
		run -137 "$KILLAT" at "$call" --path "$W/lib" "$BIN/metacache-rescan" -q -c "$W/here/conf" \
			-o mail_uid=65534 -o mail_gid=65534 -o state_dir="$W/lib/state/"
		as_mail rescan -q >/dev/null
		[ "$(ls "$W/lib"; stat -c '%u %a' "$W/lib/state")" = $'state\n65534 700' ]
	done
}

@test "a stdout that takes nothing is 74, whatever is printed" {
	users 2 flushed
	mc boot start >/dev/null # else rescan has a second line to say
	# The shell's own complaint about /dev/full is none of the program's.
	full() {
		local status=0
		"$BIN/metacache-$1" -c "$W/here/conf" "${@:2}" >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
		[ "$status" = 74 ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/err")" = 1 ] &&
			grep -q "^metacache-$1: .*write the output: No space left" "$BATS_TEST_TMPDIR/err" && return
		echo "$*: $status"
		cat "$BATS_TEST_TMPDIR/err"
		return 1
	}
	for program in $ALL; do
		full "$program" --help
		full "$program" --version
		# Without a Dovecot it has nothing to print: it is in update-userdb.bats.
		[ $program != update-userdb ] || continue
		for format in flow pager tab table json jsonl; do
			[ $program != flushall ] || world_change
			[ $program != clean ] || mc flushall -q >/dev/null
			full "$program" $(needs "$program") $([ $program != clean ] || printf %s -n) -f $format
		done
	done
}

@test "hostile user names: refused in one line with 64; nothing is made anywhere" {
	users 1 flushed
	remember
	long=$(printf 'x%.0s' $(seq 300))
	for program in flush clean refresh; do
		for name in '' ../x a/b .. . /etc .hidden @x x@ ../../etc/passwd "$long" $'a\nb' $'a\tb' $'a\e[2Jb' \
			$'\xff\xfe' $'\xc0\xaf' "a/../$user"; do
			says 64 'user name "' "$program" -q -u "$name"
			run -1 grep $'\e' "$BATS_TEST_TMPDIR/err"
			untouched
		done
	done
}

@test "odd user names that may exist: unknown ones are 67, and refresh finds nothing; none is made" {
	users 1 flushed
	remember
	longest=$(printf 'x%.0s' $(seq 255))
	for name in -x -- --help 1234567890 'jürgen@example.com' 'a b' '*' '?' '%u' '%%' 'a;b' '$(x)' "'" nobody \
		"${user^^}" "$longest"; do
		says 67 'no such user in the metacache' flush -q -u "$name"
		says 67 'no such user in the metacache' clean -q -u "$name"
		[ "$(fields username,result refresh -u "$name")" = "$name"$'\tnothing' ]
		untouched
	done
}

@test "odd user names that do exist go the whole way: flushed, listed, cleaned, brought back" {
	users 1
	n=0
	for name in -x --help 1234567890 'jürgen@example.com' 'a b' '*' '%u' '$(x)' 'a;b' "o'neil@x"; do
		disp=$(printf %s "$name" | md5sum | cut -c1-2)
		mkdir -p "$idx/$disp"
		cp -r "$home" "$idx/$disp/$name"
		tree=$(tree_of "$idx/$disp/$name")
		[ "$(fields username,result,uploaded flush -u "$name")" = "$name"$'\tuploaded\t3' ]
		mc list -f json | jq -e --arg u "$name" '.users | map(.username) | index($u) != null' >/dev/null
		[ "$(fields username,result clean -u "$name")" = "$name"$'\tcleaned' ]
		[ ! -e "$idx/$disp/$name" ]
		[ "$(fields username,result refresh -u "$name")" = "$name"$'\tcreated' ]
		diff <(echo "$tree") <(tree_of "$idx/$disp/$name")
		n=$((n + 1))
	done
	[ "$n" = 10 ]
}

@test "-F: names from a file and from stdin, blank lines passed over, any number of lists" {
	users 3 flushed
	printf '%s\n\n%s' "${USERS[1]}" "${USERS[0]}" >"$BATS_TEST_TMPDIR/names"
	for program in flush refresh; do
		[ "$(fields username $program -F "$BATS_TEST_TMPDIR/names" | paste -sd' ')" = "${USERS[1]} ${USERS[0]}" ]
		[ "$(fields username $program -F - <"$BATS_TEST_TMPDIR/names" | paste -sd' ')" = "${USERS[1]} ${USERS[0]}" ]
		[ "$(printf '%s\n' "${USERS[2]}" | fields username $program -u "${USERS[0]}" -F "$BATS_TEST_TMPDIR/names" -F - |
			paste -sd' ')" = "${USERS[0]} ${USERS[1]} ${USERS[0]} ${USERS[2]}" ]
		[ "$(fields username $program -F /dev/null)" = "" ]
		[ "$(fields username $program -A | sort | paste -sd' ')" = "${USERS[*]}" ]
	done
	[ "$(fields username,result clean -F "$BATS_TEST_TMPDIR/names" | paste -sd' ')" = \
		"${USERS[1]}"$'\tcleaned '"${USERS[0]}"$'\tcleaned' ]
	[ "$(fields username,result clean -A)" = "${USERS[2]}"$'\tcleaned' ]
	[ "$(fields username clean -A)" = "" ]
}

@test "-F: a list that is not there is 66, one that is no text 64; a bad name does not stop the rest" {
	users 2 flushed
	for program in flush clean refresh; do
		says 66 'No such file' $program -q -F "$W/none"
		says 74 'Is a directory' $program -q -F "$W"
		says 64 'standard input: line 1 can be no user name' $program -q -F - < <(printf 'a\0b\n')
		says 64 'standard input: line 1 can be no user name' $program -q -F - < <(head -c 100000 /dev/zero | tr '\0' x)
		says 64 'holds a slash' $program -q -n -F - < <(printf '../x\n%s\n' "$user")
		grep -q "^$user" "$BATS_TEST_TMPDIR/out"
	done
}

# A failing listing: one line, the code, nothing written and nothing cleaned.
store_fails() {
	local code=$1 text=$2 url=$3
	for program in $STORING; do
		[ $program = flushall ] && [ "$code" != 78 ] && [ -z "${at_once:-}" ] && want=75 || want=$code
		says "$want" "$text" $program -q $(needs $program) -o "obox_index_fs=$url"
		no_secret SECRETVALUE
		no_secret SECRETKEY
		untouched
	done
}

@test "stores that refuse or are away: nothing is written, nothing cleaned, secrets stay secret" {
	users 1 flushed
	world_change
	remember
	at_once=1
	store_fails 69 "open directory $W/none: No such file" "posix:$W/none"
	store_fails 78 "unknown store driver 'xyz:'" xyz:/x
	store_fails 78 'obox_index_fs is not set' ''
	at_once=
	quick='max_retries=0&max_connect_retries=0'
	store_fails 69 'connect to 127.0.0.1 port 1' "s3:http://SECRETKEY:SECRETVALUE@127.0.0.1:1/?bucket=b&$quick"
	"$SINK" --die-with-parent --require-key GOOD --bucket mails >"$BATS_TEST_TMPDIR/url" 3>&- &
	sink=$!
	for _ in $(seq 200); do [ -s "$BATS_TEST_TMPDIR/url" ] && break; sleep 0.02; done
	address=$(cut -d/ -f3 "$BATS_TEST_TMPDIR/url")
	store_fails 77 'InvalidAccessKeyId' "s3:http://SECRETKEY:SECRETVALUE@$address/?bucket=mails&$quick"
	store_fails 69 'NoSuchBucket' "s3:http://GOOD:SECRETVALUE@$address/?bucket=other&$quick"
	[ "$(curl -sSf "http://$address/_dump" | jq length)" = 0 ]
	# The same with the right key and bucket works, and says no secret either, however much is logged.
	mc flushall -D -o "obox_index_fs=s3:http://GOOD:SECRETVALUE@$address/?bucket=mails" \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	no_secret SECRETVALUE
	[ "$(curl -sSf "http://$address/_dump" | jq length)" = 3 ]
	# The key may also be in the file of the AWS tools: another section's is not taken.
	printf '[other]\naws_access_key_id = BAD\n[default]\naws_access_key_id = GOOD\naws_secret_access_key = SECRETVALUE\n' \
		>"$BATS_TEST_TMPDIR/credentials"
	AWS_SHARED_CREDENTIALS_FILE=$BATS_TEST_TMPDIR/credentials mc flush -u "$user" --overwrite \
		-o "obox_index_fs=s3:http://$address/?bucket=mails" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	no_secret SECRETVALUE
	says 78 'no access key' flush -u "$user" -o "obox_index_fs=s3:http://$address/?bucket=mails"
}

@test "secrets are in no output: a URL that cannot be parsed, environment, an override that is refused" {
	users 1
	for url in 's3:http://K:SECRETVALUE@[bad/?bucket=b' 's3:ftp://K:SECRETVALUE@h/?bucket=b' 's3:http://K:SECRETVALUE@h/' \
		's3:http://K:SECRETVALUE@h/?bucket=b&nope=SECRETVALUE' 's3:http://K:SECRETVALUE@h:99999/?bucket=b' \
		's3:http://K:SECRETVALUE' 'compress:foo:3:s3:http://K:SECRETVALUE@h/?bucket=b'; do
		says 78 obox_index_fs flush -D -u "$user" -o "obox_index_fs=$url"
		no_secret SECRETVALUE
	done
	says 64 'key=value' flush -u "$user" -o 'SECRETVALUE'
	no_secret SECRETVALUE
	export AWS_ACCESS_KEY_ID=SECRETKEY AWS_SECRET_ACCESS_KEY=SECRETVALUE
	says 69 'connect' flush -q -u "$user" -o 'obox_index_fs=s3:http://127.0.0.1:1/?bucket=b&max_retries=0&max_connect_retries=0'
	no_secret SECRETVALUE
	no_secret SECRETKEY
}

@test "folders that are missing or may not be written: one line, and what to do" {
	users 1
	for program in flush flushall clean refresh rescan; do
		says 66 "open directory $W/nowhere: No such file or directory (make it" \
			$program $(needs $program) -o mail_home="$W/nowhere/%u"
		says 66 "make the state directory $W/no/state: No such file" \
			$program $(needs $program) -o state_dir="$W/no/state"
	done
	[ ! -e "$W/no" ]
	[ ! -e "$W/nowhere" ]
}
