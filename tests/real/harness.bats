#!/usr/bin/env bats
# Proves that the servers, the driver and the facts in README.md are what the other tests take them for.

bats_require_minimum_version 1.5.0

USER_NAME=user@example.com

setup_file() {
	local real=$BATS_TEST_DIRNAME
	. "$real/lib.bash"
	SCRATCH=$(scratch_make)
	export SCRATCH
	set -a
	out=$("$real/start-rgw" "$SCRATCH/rgw")
	eval "$out"
	set +a
}

teardown_file() {
	"$BATS_TEST_DIRNAME/stop" "$SCRATCH"/rgw "$SCRATCH"/second "$SCRATCH"/*/a "$SCRATCH"/*/b 2>/dev/null || true
	rm -rf "$SCRATCH"
}

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	PATH=$BATS_TEST_DIRNAME:$PATH
	holder=
}

teardown() {
	[[ -z $holder ]] || kill "$holder" 2>/dev/null || true
}

# start_backend FOLDER LAYOUT NAME: and its ports and roots as variables
start_backend() {
	local out
	out=$(start-dovecot "$SCRATCH/$1" "$2" "$3") || return 1
	eval "$out"
	home=$INDEX_ROOT/b5/$USER_NAME
}

dump() { imap "$IMAP_PORT" "$USER_NAME" dump; }

same() { diff -u "$1" "$2"; }

# folder_dirs: where the folders of the account are, below home, one a line
folder_dirs() { (cd "$home" && find . -mindepth 2 -name dovecot.index.log -printf '%P\n' | sed 's,/[^/]*$,,' | sort); }

# open_session ARGUMENTS OF imap…: a session that stays open; its process is then $imap_pid
open_session() {
	local fifo=$BATS_TEST_TMPDIR/stdin out=$BATS_TEST_TMPDIR/ready
	rm -f "$fifo" "$out" && mkfifo "$fifo"
	imap "$IMAP_PORT" "$USER_NAME" "$@" <"$fifo" >"$out" 3>&- &
	holder=$!
	exec {held}>"$fifo"
	poll_until 10 grep -q ready "$out" || return 1
	imap_pid=$(pgrep -P "$(<"$INDEX_ROOT/../run/master.pid")" -x imap)
}

close_session() {
	exec {held}>&-
	wait "$holder"
	holder=
}

# The files of the account's index home that process $1 has open.
open_files() { find "/proc/$1/fd" -type l -printf '%l\n' | grep -F "$home/" || true; }

# check_layout LAYOUT PATTERN…: each PATTERN (extended, whole line) is a folder's directory below home
check_layout() {
	local layout=$1 pattern
	shift
	start_backend "$layout" "$layout" a
	seed "$IMAP_PORT" "$LMTP_PORT" "$USER_NAME" 7
	dump >"$BATS_TEST_TMPDIR/before"
	grep -q '\$Label1' "$BATS_TEST_TMPDIR/before"
	grep -q "^folder '受信/重要'" "$BATS_TEST_TMPDIR/before"
	grep -q "^subscribed " "$BATS_TEST_TMPDIR/before"

	stop "$SCRATCH/$layout/a"
	start_backend "$layout" "$layout" a
	dump >"$BATS_TEST_TMPDIR/after"
	same "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"

	for pattern in "$@"; do
		folder_dirs | grep -Exq -- "$pattern" || { folder_dirs && echo "no $pattern" && return 1; }
	done
	[[ -f $home/dovecot.list.index.log ]]
	[[ -f $MAIL_ROOT/$USER_NAME/subscriptions && ! -e $home/subscriptions ]]
	[[ -z $(find "$MAIL_ROOT" -name 'dovecot*index*') ]]
	stop "$SCRATCH/$layout/a"
}

@test "RGW: bucket, objects, listing and deletion with the keys" {
	s3 PUT /harness
	for key in k/one 'k/t%20w%40o' other; do s3 PUT "/harness/$key" --data-binary "content of $key"; done
	[[ $(s3 GET /harness/k/one) == "content of k/one" ]]
	[[ $(s3 keys harness) == $'k/one\nk/t w@o\nother' ]]
	[[ $(s3 keys harness k/) == $'k/one\nk/t w@o' ]]
	s3 DELETE /harness/k/one
	[[ $(s3 keys harness) == $'k/t w@o\nother' ]]
	run -22 s3 GET /harness/k/one
	[[ $output == *NoSuchKey* ]]
}

@test "RGW: a wrong key is refused" {
	RGW_SECRET_KEY=wrong run -22 s3 GET '/?x=1'
	[[ $output == *SignatureDoesNotMatch* ]]
}

@test "RGW: a second one beside the first, and stop ends all of it" {
	local first=$RGW_URL out pids
	out=$(start-rgw "$SCRATCH/second")
	eval "$out"
	[[ $RGW_URL != "$first" ]]
	s3 PUT /second
	pids=$(cat "$SCRATCH"/second/run/*.pid)
	[[ $(wc -w <<<"$pids") == 3 ]]
	stop "$SCRATCH/second"
	for pid in $pids; do [[ ! -d /proc/$pid || $(<"/proc/$pid/stat") == *") Z "* ]]; done
	curl -sf -o /dev/null "$first/"
	run ! curl -sf -o /dev/null "$RGW_URL/"
}

@test "layout index: sdbox, folders named by GUID under mailboxes" {
	check_layout index 'mailboxes/[0-9a-f]{32}'
	run ! grep -qEv '^mailboxes/[0-9a-f]{32}$' <(folder_dirs)
}

@test "layout fs: sdbox, folders by name under mailboxes" {
	check_layout fs mailboxes/INBOX mailboxes/INBOX/Below mailboxes/Archive/2023/Q4 'mailboxes/With  two blanks' \
		'mailboxes/&U9dP4Q-/&kc2JgQ-' mailboxes/a.b
}

@test "layout maildir: Maildir++, folders by name with dots" {
	check_layout maildir '\.INBOX' '\.INBOX\.Below' '\.Archive\.2023\.Q4' '\.With  two blanks' '\.&U9dP4Q-\.&kc2JgQ-'
}

@test "layout maildir-index: maildir, folders named by GUID at the top" {
	check_layout maildir-index '[0-9a-f]{32}'
	run ! grep -qEv '^[0-9a-f]{32}$' <(folder_dirs)
}

# check_away LAYOUT: leaves the dumps before, without and back
check_away() {
	start_backend "away-$1" "$1" a
	seed "$IMAP_PORT" "$LMTP_PORT" "$USER_NAME" 3
	dump >"$BATS_TEST_TMPDIR/before"
	stop "$INDEX_ROOT/.."
	mv "$home" "$SCRATCH/aside"
	start_backend "away-$1" "$1" a
	dump >"$BATS_TEST_TMPDIR/without"
	stop "$INDEX_ROOT/.."
	rm -rf "$home" && mv "$SCRATCH/aside" "$home"
	start_backend "away-$1" "$1" a
	dump >"$BATS_TEST_TMPDIR/back"
	stop "$INDEX_ROOT/.."
	grep -q '\$Label1' "$BATS_TEST_TMPDIR/before"
	same "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/back"
}

@test "sdbox: an index root moved away loses all flags, put back they are back" {
	for layout in index fs; do
		check_away "$layout"
		run ! grep -qE '\$Label1|Flagged' "$BATS_TEST_TMPDIR/without"
	done
}

@test "maildir: an index root moved away loses folder names with LAYOUT=index, put back they are back" {
	check_away maildir
	same "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/without"
	check_away maildir-index
	grep -q "^folder 'New name/Child'" "$BATS_TEST_TMPDIR/before"
	run ! grep -q "^folder 'New name/Child'" "$BATS_TEST_TMPDIR/without"
}

@test "two backends share the mails; indexes copied from a to b give b the same account" {
	local a_home
	for layout in index fs maildir maildir-index; do
		start_backend "two-$layout" "$layout" a
		seed "$IMAP_PORT" "$LMTP_PORT" "$USER_NAME" 5
		dump >"$BATS_TEST_TMPDIR/a"
		a_home=$home
		start_backend "two-$layout" "$layout" b
		[[ $home != "$a_home" ]]
		mkdir -p "${home%/*}"
		cp -a "$a_home" "$home"
		chown --reference="$a_home" "${home%/*}"
		dump >"$BATS_TEST_TMPDIR/b"
		stop "$SCRATCH/two-$layout"/{a,b}
		same "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
	done
}

@test "dump shows a changed flag, an expunge, a new folder, a subscription" {
	start_backend change fs a
	imap "$IMAP_PORT" "$USER_NAME" append INBOX 3 '(\Seen $Label)'
	local step=0
	dump >"$BATS_TEST_TMPDIR/0"
	for change in 'store INBOX 2 +FLAGS (\Flagged)' 'store INBOX 2 -FLAGS ($Label)' 'expunge INBOX 1' \
		'create More' 'rename More Other' 'subscribe Other' 'delete Other' 'copy INBOX 2 Sent' 'move INBOX 3 Sent'; do
		# shellcheck disable=SC2086
		imap "$IMAP_PORT" "$USER_NAME" $change
		dump >"$BATS_TEST_TMPDIR/$((step + 1))"
		run ! cmp -s "$BATS_TEST_TMPDIR/$step" "$BATS_TEST_TMPDIR/$((++step))"
	done
	imap "$LMTP_PORT" "$USER_NAME" deliver 2
	[[ $(imap "$IMAP_PORT" "$USER_NAME" status INBOX) == "MESSAGES 3 "* ]]
	run -1 imap "$IMAP_PORT" "$USER_NAME" store Nowhere 1 +FLAGS '\Seen'
	run -2 imap "$IMAP_PORT" "$USER_NAME" nonsense
	stop "$SCRATCH/change/a"
}

@test "a session: its working directory is home; files are open after LIST and SELECT, none after login" {
	start_backend live index a
	seed "$IMAP_PORT" "$LMTP_PORT" "$USER_NAME" 2
	open_session hold-login
	[[ $(readlink "/proc/$imap_pid/cwd") == "$home" ]]
	[[ -z $(open_files "$imap_pid") ]]
	close_session
	open_session hold-list
	[[ $(open_files "$imap_pid") == *"$home/dovecot.list.index.log"* ]]
	close_session
	open_session hold INBOX
	[[ $(open_files "$imap_pid") == *"/dovecot.index.log"* ]]
	close_session
	stop "$SCRATCH/live/a"
}

@test "POSTLOGIN runs as root with its environment, and refuses the login by failing" {
	mkdir "$SCRATCH/postlogin"
	cat >"$SCRATCH/hook" <<-'HOOK'
		#!/bin/sh
		echo "$USER $HOME $(id -u)" >>"$HOOK_LOG"
		[ ! -e "$HOOK_LOG.refuse" ] || exit 75
		exec "$@"
	HOOK
	chmod 755 "$SCRATCH/hook"
	export POSTLOGIN=$SCRATCH/hook EXTRA_ENV="HOOK_LOG=$SCRATCH/hook.log OTHER=x"
	start_backend postlogin index a
	imap "$IMAP_PORT" "$USER_NAME" login
	[[ $(<"$SCRATCH/hook.log") == "$USER_NAME $home 0" ]]
	touch "$SCRATCH/hook.log.refuse"
	run -1 imap "$IMAP_PORT" "$USER_NAME" login
	[[ $output == *"login as $USER_NAME"* ]]
	rm "$SCRATCH/hook.log.refuse"
	imap "$IMAP_PORT" "$USER_NAME" login
	[[ $(wc -l <"$SCRATCH/hook.log") == 3 ]]
	stop "$SCRATCH/postlogin/a"
}

@test "EXTRA_CONF takes effect; the HTTP API answers" {
	EXTRA_CONF='imap_id_send = name harness' start_backend conf index a
	[[ $(doveconf -c "$SCRATCH/conf/a/dovecot.conf" -h imap_id_send) == "name harness" ]]
	open_session hold INBOX
	run curl -sS -m 10 -H "Authorization: X-Dovecot-API $(printf %s "$DOVEADM_API_KEY" | base64)" \
		-d '[["who",{},"t"]]' "http://127.0.0.1:$DOVEADM_PORT/doveadm/v1"
	[[ $output == *"\"username\":\"$USER_NAME\""*"($imap_pid)"* ]]
	close_session
	stop "$SCRATCH/conf/a"
}
