#!/usr/bin/env bats
# What metacache-dump reads in the index files of a real Dovecot: which changes matter, and the
# mails and folders as IMAP and doveadm tell them.

bats_require_minimum_version 1.5.0

setup_file() {
	local real=$BATS_TEST_DIRNAME
	. "$real/lib.bash"
	SCRATCH=$(scratch_make)
	export SCRATCH
	install -d -m 755 -o "$MAIL_UID" -g "$MAIL_GID" "$SCRATCH/sieve"
	cat >"$SCRATCH/sieve/flag.sieve" <<-'SIEVE'
		require "imap4flags";
		if header :contains "subject" "urgent" { addflag "\\Flagged"; }
	SIEVE
	# Logs rotate early, so that a test sees it.
	export EXTRA_CONF="
		mail_index_log_rotate_min_size = 4k
		mail_index_log_rotate_min_age = 1 s
		protocol lmtp {
		  mail_plugins = sieve
		  mail_attachment_detection_options = add-flags
		}
		plugin {
		  sieve_before = $SCRATCH/sieve/flag.sieve
		}"
	local out
	out=$("$real/start-dovecot" "$SCRATCH" index a)
	set -a
	eval "$out"
	set +a
}

teardown_file() {
	"$BATS_TEST_DIRNAME/stop" "$SCRATCH/a" "$SCRATCH/more/b"
	rm -rf "$SCRATCH"
}

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	PATH=$BATS_TEST_DIRNAME:$(cd "$BIN" && pwd):$PATH
	# A user of its own for each test, with three mails in INBOX that were looked at.
	user=user$BATS_TEST_NUMBER@example.com
	at append INBOX 3
	at dump >/dev/null
	home=$(echo "$INDEX_ROOT"/*/"$user")
	inbox=$home/mailboxes/$(guid INBOX)
}

at() { imap "$IMAP_PORT" "$user" "$@"; }

by_lmtp() { imap "$LMTP_PORT" "$user" deliver "$@"; }

# guid NAME: as the list index has it
guid() { metacache-dump -f tab --no-header --list --field guid,name "$home" | awk -F'\t' -v n="$1" '$2 == n { print $1 }'; }

# utf7: names in modified UTF-7 as text
utf7() {
	(cd "$BATS_TEST_DIRNAME" && PYTHONDONTWRITEBYTECODE=1 python3 -c '
import sys, mailclient
for line in sys.stdin:
    name, rest = line.split("\t", 1)
    print(mailclient.utf7_decode(name), rest, sep="\t", end="")')
}

position() { metacache-dump -f tab --no-header --changes --field position "$1"; }

# changes FOLDER POSITION: the class, and why
changes() { metacache-dump -f tab --no-header --changes --since "$2" --field changes,reason "$1"; }

# classed CLASS FOLDER COMMAND…: none before it, CLASS after it; and the same with the log rotated
# behind it, and between the position and it. Mails appended without flags make it rotate.
classed() {
	local class=$1 folder=$2 from
	shift 2
	from=$(position "$folder")
	[ "$(changes "$folder" "$from")" = $'none\t' ]
	"$@"
	changes "$folder" "$from"
	[[ "$(changes "$folder" "$from")" == "$class"$'\t'* ]]
	rotated_after "$from"
	changes "$inbox" "$from"
	[[ "$(changes "$inbox" "$from")" == "$class"$'\t'* ]]
}

# rotated_after POSITION: appends to INBOX until its log is another than that of the position
rotated_after() {
	local seq
	seq=$(cut -d: -f2 <<<"$1")
	grown() { at append INBOX 10 && at status INBOX && [ "$(position "$inbox" | cut -d: -f2)" != "$seq" ]; }
	poll_until 30 grown
	echo "from $1 to $(position "$inbox")"
	[ "$(position "$inbox" | cut -d: -f2)" = $((seq + 1)) ]
}

# both CLASS COMMAND…: as it is, and once more with a rotation before the command
both() {
	local class=$1 from
	shift
	classed "$class" "$inbox" "$@"
	from=$(position "$inbox")
	rotated_after "$from"
	[[ "$(changes "$inbox" "$from")" == unimportant$'\t'* ]]
	"$@"
	[[ "$(changes "$inbox" "$from")" == "$class"$'\t'* ]]
}

@test "STORE +FLAGS is important" {
	sign=-
	flip() {
		sign=$(tr +- -+ <<<"$sign")
		at store INBOX 1 "${sign}FLAGS" '(\Seen)'
	}
	both important flip
	[[ "$(changes "$inbox" "$(position "$inbox")")" == none* ]]
}

@test "STORE of a keyword is important" {
	classed important "$inbox" at store INBOX 2 "+FLAGS" '($Label1)'
	classed important "$inbox" at store INBOX 2 "-FLAGS" '($Label1)'
	from=$(position "$inbox")
	rotated_after "$from"
	at store INBOX 2 "+FLAGS" '($Label1)'
	[[ "$(changes "$inbox" "$from")" == important$'\t'* ]]
}

@test "delivery over LMTP is unimportant" {
	both unimportant by_lmtp 2
	from=$(position "$inbox")
	by_lmtp 7
	# With the keywords that are computed.
	metacache-dump -f tab "$inbox/dovecot.index.log" | grep -F '+"$HasNoAttachment"'
	[ "$(metacache-dump -f tab --no-header --changes --since "$from" --field appends "$inbox")" = 7 ]
}

@test "delivery over LMTP with a flag of a Sieve script is important" {
	both important by_lmtp 1 urgent
	[[ "$(changes "$inbox" "$(position "$inbox")")" == none* ]]
}

@test "APPEND with a flag or a keyword is important, without it is not" {
	both unimportant at append INBOX 1
	both important at append INBOX 1 '\Seen'
	both important at append INBOX 1 '$Label1'
}

@test "FETCH that fills the cache is unimportant" {
	fill() { doveadm -c "$SCRATCH/a/dovecot.conf" fetch -u "$user" 'hdr.x-nothing hdr.list-id body.snippet' mailbox INBOX >/dev/null; }
	by_lmtp 1
	from=$(position "$inbox")
	sum=$(md5sum <"$inbox/dovecot.index.cache")
	fill
	[ "$(md5sum <"$inbox/dovecot.index.cache")" != "$sum" ]
	changes "$inbox" "$from"
	[[ "$(changes "$inbox" "$from")" != important* ]]
	# The log has a new cache offset where the mail had none.
	rm "$inbox/dovecot.index.cache"
	from=$(position "$inbox")
	fill
	changes "$inbox" "$from"
	[[ "$(changes "$inbox" "$from")" == unimportant* ]]
}

@test "EXPUNGE is important, of a mail that came since it is not" {
	both important at expunge INBOX '*'
	from=$(position "$inbox")
	by_lmtp 1
	doveadm -c "$SCRATCH/a/dovecot.conf" expunge -u "$user" mailbox INBOX uid '*'
	changes "$inbox" "$from"
	[[ "$(changes "$inbox" "$from")" == unimportant* ]]
}

@test "SELECT that only clears Recent is not important" {
	by_lmtp 2
	from=$(position "$inbox")
	python3 - "$IMAP_PORT" "$user" <<-'PYTHON'
		import imaplib, sys
		imap = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
		imap.login(sys.argv[2], "x")
		imap.select("INBOX")
		assert imap.recent()[1] == [b"5"]
		imap.logout()
	PYTHON
	changes "$inbox" "$from"
	[[ "$(changes "$inbox" "$from")" == unimportant* ]]
	rotated_after "$from"
	[[ "$(changes "$inbox" "$from")" == unimportant* ]]
}

@test "CREATE and RENAME of a folder, SUBSCRIBE: the root unit, and only it" {
	for command in "create Sub/Folder" "rename Sub/Folder Other"; do
		root=$(position "$home") folder=$(position "$inbox")
		# shellcheck disable=SC2086
		at $command
		changes "$home" "$root"
		[[ "$(changes "$home" "$root")" == important* ]]
		[[ "$(changes "$inbox" "$folder")" == none* ]]
	done
	root=$(position "$home") folder=$(position "$inbox")
	at subscribe Other
	[[ "$(changes "$home" "$root")" == important* ]]
	[[ "$(changes "$inbox" "$folder")" == none* ]]
}

# Where sdbox and LAYOUT=index are together, Dovecot 2.3 cannot delete folders.
@test "in other layouts: CREATE, RENAME, DELETE, and what is not important, as well" {
	for layout in fs maildir maildir-index; do
		out=$(start-dovecot "$SCRATCH/more" "$layout" b)
		(
			eval "$out"
			at append INBOX 1
			at dump >/dev/null
			home=$(echo "$INDEX_ROOT"/*/"$user")
			for command in "create Sub" "rename Sub Other" "delete Other"; do
				root=$(position "$home")
				# shellcheck disable=SC2086
				at $command
				echo "$layout: $command: $(changes "$home" "$root")"
				[[ "$(changes "$home" "$root")" == important* ]]
				at list >/dev/null
			done
			root=$(position "$home")
			by_lmtp 2
			at status INBOX
			at list >/dev/null
			[[ "$(changes "$home" "$root")" == unimportant* ]]
		)
		stop "$SCRATCH/more/b"
		rm -rf "$SCRATCH/more"
	done
}

@test "deliveries and STATUS note in the list index what is unimportant there" {
	root=$(position "$home")
	by_lmtp 2
	at status INBOX
	at list >/dev/null
	changes "$home" "$root"
	[[ "$(changes "$home" "$root")" == unimportant* ]]
}

@test "the list index names all folders, INBOX and Junk among them" {
	at create 'Ünder/Zwölf'
	[ -d "$home/mailboxes/$(guid INBOX)" ]
	[ -d "$home/mailboxes/$(guid Junk)" ]
	[ -d "$home/mailboxes/$(guid '&ANw-nder/Zw&APY-lf')" ]
	diff <(metacache-dump -f tab --no-header --list --field guid "$home" | grep . | sort) \
		<(ls "$home/mailboxes" | sort)
	diff <(doveadm -c "$SCRATCH/a/dovecot.conf" -f tab mailbox status -u "$user" guid '*' | tail -n +2 | sort) \
		<(metacache-dump -f tab --no-header --list --field name,guid,selectable "$home" |
			awk -F'\t' '$3 == "yes" { print $1 "\t" $2 }' | utf7 | sort)
}

@test "the map is what IMAP and doveadm dump say, of 300 folders with a random past" {
	mailboxes drive "$IMAP_PORT" "$user" 300 "${SEED:-1}"
	mailboxes compare "$IMAP_PORT" "$user" "$home" "$(command -v metacache-dump)"
	# The comparison made Dovecot keep modseqs for each mail.
	mailboxes churn "$IMAP_PORT" "$user" 300 "${SEED:-2}"
	run -0 mailboxes compare "$IMAP_PORT" "$user" "$home" "$(command -v metacache-dump)"
	echo "$output"
	[[ "$output" == "304 of 304 folders with "* ]]
	# All three ways that an index can be there were among them.
	[ "$(ls "$home"/mailboxes/*/dovecot.index | wc -l)" -ge 10 ]
	[ "$(ls "$home"/mailboxes/*/dovecot.index.log.2 | wc -l)" -ge 10 ]
	[ "$(ls "$home"/mailboxes/*/dovecot.index | wc -l)" -lt 304 ]
}

# cached FOLDER: name, type, size and decision of each field, as doveadm dump tells them
cached() {
	doveadm -c "$SCRATCH/a/dovecot.conf" dump -t index "$1" |
		awk '/^-- CACHE/ { cache = 1 } /^-- RECORDS/ { cache = 0 } cache && /^ *[0-9]+: / { print $2, $3, $4, $5 }'
}

@test "the fields of the cache are those of doveadm dump" {
	at fetch INBOX
	at dump >/dev/null
	cd "$BATS_TEST_TMPDIR"
	cached "$inbox" >told
	grep -Fx 'hdr.Subject hdr - tmp' told
	metacache-dump -f tab --no-header --cache "$inbox" | awk -F'\t' '
		BEGIN { type["fixed"] = "fix"; type["variable"] = "var"; type["string"] = "str"
			type["bitmask"] = "bit"; type["header"] = "hdr"; keep["temp"] = "tmp" }
		{ print $1, type[$2], $3 == "" ? "-" : $3, $4 in keep ? keep[$4] : $4 }' >read
	diff told read
}
