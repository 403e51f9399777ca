#!/usr/bin/env bats
# metacache-dump: what it prints of files that a Dovecot 2.3.19 wrote (tests/cli/index), every exit
# code, bad input.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/../json.bash"
	bin=$(cd "$BIN" && pwd)
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir home box
	cp "$BATS_TEST_DIRNAME"/index/dovecot.index* box/
	cp "$BATS_TEST_DIRNAME"/index/dovecot.list.index.log home/
	before=$(md5sum box/* home/*)
}

teardown() {
	{ [ "$before" = skip ] || [ "$(md5sum box/* home/*)" = "$before" ]; } && json_valid
}

dump() { json_kept "$bin/metacache-dump" "$@"; }

# refused CODE TEXT ARG...: one line on stderr with TEXT in it, nothing on stdout
refused() {
	local code=$1 text=$2
	shift 2
	run --separate-stderr -"$code" "$bin/metacache-dump" "$@"
	[ "$output" = "" ]
	[[ "$stderr" == "metacache-dump: "*"$text"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
}

@test "dump: the mails of a folder, by any of its files' names" {
	cat >expected <<-'END'
		uid	flags	keywords	modseq
		1	\Seen	$K1	13
		2	\Seen	$K2	13
		3	\Flagged \Seen	$K1 $K3	15
		4			13
		5			13
		6			13
		7	\Draft		16
	END
	for path in box box/ box/dovecot.index ./box/dovecot.index; do
		diff expected <(dump -f tab "$path")
	done
	diff expected <(dump -f tab --map box/dovecot.index.log)
	(cd box && diff ../expected <(dump -f tab dovecot.index))
}

# Of Dovecot 2.4.1 (sdbox, mailbox_list_layout = index), whose own answers these are: doveadm fetch
# 'uid flags modseq', mailbox list, mailbox status.
@test "dump: what a Dovecot 2.4 wrote, its log rotated" {
	rm -r box home && mkdir box home
	before=skip
	cp "$BATS_TEST_DIRNAME"/index-2.4/dovecot.index* box/
	cp "$BATS_TEST_DIRNAME"/index-2.4/dovecot.list.index.log home/
	diff - <(dump -f tab --no-header box) <<-'END'
		1	\Answered \Seen		132
		2	\Flagged \Seen	$Work	132
		3	\Flagged \Seen	$Work	132
		4	\Seen		132
		6			132
	END
	[ "$(dump -f json box | jq -c '.summary | [.uidvalidity, .uidnext, .["highest-modseq"]]')" = '[1795867707,7,132]' ]
	diff - <(dump -f tab --no-header --field name --field selectable --list home | sort) <<-'END'
		Box	yes
		INBOX	yes
		Sent	no
		Sent/2024	yes
	END
	[ "$(dump -f json --cache box/dovecot.index.cache | jq -r '.fields[].name' | grep -c '^hdr\.')" -gt 5 ]
	# A flag set by a client is the last that the log has: until there, from there.
	[ "$(dump -f json --changes box/dovecot.index.log | jq -r '.changes[0].changes')" = important ]
	position=$(dump -f json --changes box/dovecot.index.log | jq -r '.changes[0].position')
	[ "$(dump -f json --changes --since "$position" box/dovecot.index.log | jq -r '.changes[0].changes')" = none ]
}

@test "dump: the mails as JSON, with a summary" {
	dump -f json box | jq -e '.mails[2] == {uid: 3, flags: "\\Flagged \\Seen", keywords: "$K1 $K3", modseq: 15}'
	[ "$(dump -f json box | jq -c .summary)" = '{"indexid":1795438983,"uidvalidity":1795438983,"uidnext":8,"messages":7,"seen":3,"deleted":0,"highest-modseq":16,"log-file-seq":3,"log-offset":228}' ]
	dump -f jsonl box | tail -n 1 | jq -e '.summary.messages == 7'
}

@test "dump: without dovecot.index the logs do not reach back; without a log the index is all" {
	before=skip
	mv box/dovecot.index saved
	rm box/dovecot.index.log.2
	refused 65 'box: the log does not reach back to the beginning' --map box
	mv saved box/dovecot.index
	[ "$(dump -f tab box | wc -l)" = 8 ]
	rm box/dovecot.index.log
	[ "$(dump -f json box/dovecot.index | jq .summary.messages)" -ge 6 ]
	refused 66 'No such file' --map home/dovecot.index.log
}

@test "dump: a log, record by record" {
	dump -f tab box/dovecot.index.log.2 >log
	[ "$(head -n 1 log)" = $'offset\tsize\ttype\texternal\tdetail' ]
	grep -Fx $'432\t16\tappend\tyes\t1' log
	grep -Fx $'208\t28\text-intro\tyes\t#0 reset=0 header=24 record=0 align=0 flags=1' log
	grep -Fx $'332\t24\theader-update\tyes\tat 24 8739046b, at 76 ffffffff' log
	grep -E $'\tflag-update\t(yes|no)\t1 \\+\\(\\\\Seen\\)$' log
	grep -E $'\tkeyword-update\t(yes|no)\t\\+"\\$K1" 1$' log
	# Each record begins where the last one ended, up to the end of the file.
	tail -n +2 log | awk -F'\t' 'BEGIN { at = 40 } $1 != at { exit 1 } { at = $1 + $2 }'
	[ "$(dump -f json box/dovecot.index.log.2 | jq .summary.end)" = "$(stat -c %s box/dovecot.index.log.2)" ]
	dump -f json box/dovecot.index.log | jq -e '.summary | .version == "1.3" and ."file-seq" == 3 and ."prev-file-seq" == 2'
	diff <(dump -f tab --log box) <(dump -f tab box/dovecot.index.log)
	[ "$(dump -f tab --no-header --field sync,type box/dovecot.index.log | sed -n 2p)" = $'no\tflag-update' ]
}

@test "dump: what is cached of mails, as doveadm dump says it" {
	cat >expected <<-'END'
		name	type	size	decision	last-used
		flags	bitmask	4	temp	1795441833
		date.sent	fixed	8	no	0
		date.received	fixed	4	temp	1795441834
		date.save	fixed	4	no	0
		size.virtual	fixed	8	temp	1795441834
		size.physical	fixed	8	no	1795441834
		imap.body	string		no	0
		imap.bodystructure	string		no	0
		imap.envelope	string		no	0
		pop3.uidl	string		no	0
		pop3.order	fixed	4	no	0
		guid	string		no	1795441834
		mime.parts	variable		temp	1795441833
		binary.parts	variable		no	0
		body.snippet	variable		no	0
		hdr.From	header		temp	1795441833
		hdr.Message-ID	header		temp	1795441833
		hdr.Subject	header		temp	1795441833
		hdr.Date	header		temp	1795441860
		hdr.Bcc	header		temp	1795441860
		hdr.Cc	header		temp	1795441860
		hdr.In-Reply-To	header		temp	1795441860
		hdr.Reply-To	header		temp	1795441860
		hdr.Sender	header		temp	1795441860
		hdr.To	header		temp	1795441860
		hdr.LIST-ID	header		temp	1795441860
		hdr.X-MAILER	header		temp	1795441860
	END
	diff expected <(dump -f tab box/dovecot.index.cache)
	diff expected <(dump -f tab --cache box)
	diff expected <(cd box && dump -f tab dovecot.index.cache)
	[ "$(dump -f json --cache box | jq -c .summary)" = '{"version":"1.1","indexid":1795441842,"file-seq":1795441842,"records":2,"continued-records":4,"deleted-records":0,"fields-offset":1748}' ]
	dump -f json box/dovecot.index.cache | jq -e '.fields[0].size == 4 and .fields[6].size == null'
	dump -f jsonl --cache box | tail -n 1 | jq -e '.summary.records == 2'
	[ "$(dump -f jsonl --field name,decision --cache box | head -n 1)" = '{"name":"flags","decision":"temp"}' ]
	# The same name for the mails and for the log.
	[ "$(dump -f tab --map box/dovecot.index.cache | wc -l)" = 8 ]
	refused 65 'a cache of version 7.' --cache box/dovecot.index
	before=skip
	truncate -s 1900 box/dovecot.index.cache
	refused 65 'box/dovecot.index.cache: a list of 27 fields in 587 bytes' box/dovecot.index.cache
	rm box/dovecot.index.cache
	refused 66 'No such file' --cache box
}

@test "dump: folders with their GUIDs" {
	[ "$(dump -f tab home)" = $'guid\tname\tselectable\tuidvalidity\n1a2640158739046bd267000083ecc375\tINBOX\tyes\t1795438983' ]
	[ "$(dump -f tab home)" = "$(dump -f tab --list home)" ]
	[ "$(dump -f json home | jq -c .folders)" = '[{"guid":"1a2640158739046bd267000083ecc375","name":"INBOX","selectable":true,"uidvalidity":1795438983}]' ]
	refused 65 'box/dovecot.index: no mailbox list index' --list box/dovecot.index
}

@test "dump: changes since a position" {
	[ "$(dump -f tab --no-header --changes box)" = $'important\tUIDVALIDITY was changed\t7\t1795438983:3:228' ]
	[ "$(dump -f tab --no-header --changes --since 1795438983:3:228 box)" = $'none\t\t0\t1795438983:3:228' ]
	# In the rotated log, up to its end, which is where the log goes on.
	end=$(stat -c %s box/dovecot.index.log.2)
	dump -f json --changes --since "1795438983:2:$end" box |
		jq -e '.changes == [{changes: "important", reason: "flags were changed", appends: 1, position: "1795438983:3:228"}]'
	dump -f json --changes --since 1795438983:2:448 box | jq -e '.changes[0] | .changes == "important" and .appends == 6'
	# Up to the third mail, nothing but deliveries.
	before=skip
	truncate -s 684 box/dovecot.index.log.2
	mv box/dovecot.index.log.2 box/dovecot.index.log
	[ "$(dump -f tab --no-header --changes --since 1795438983:2:448 box)" = \
		$'unimportant\twhat can be computed again\t2\t1795438983:2:684' ]
}

@test "dump: what is not known is important, and no error" {
	for since in 1:3:228 1795438983:1:40 1795438983:4:40 1795438983:3:4000 1795438983:3:100; do
		dump -f json --changes --since $since box | jq -e '.changes[0].changes == "important"'
	done
	before=skip
	head -c 20 box/dovecot.index.log >cut && mv cut box/dovecot.index.log
	dump -f json --changes box | jq -e '.changes[0] | .changes == "important" and .position == null and .reason == "the log cannot be read"'
}

@test "dump: a corrupt log is printed up to there, and is 65" {
	before=skip
	printf '\1\1\1\1' | dd of=box/dovecot.index.log.2 bs=1 seek=432 conv=notrunc status=none
	run --separate-stderr -65 dump -f tab box/dovecot.index.log.2
	[ "$stderr" = "metacache-dump: box/dovecot.index.log.2: corrupt at offset 432: no size of a record" ]
	[ "${lines[-1]%%$'\t'*}" = 404 ]
	# The index does not need the rotated log.
	[ "$(dump -f tab box | wc -l)" = 8 ]
	printf '\1\1\1\1' | dd of=box/dovecot.index.log bs=1 seek=52 conv=notrunc status=none
	refused 65 'box: log 3: corrupt at offset 52: no size of a record' box
}

@test "dump: bad input is 65 or 66, in one line" {
	: >empty.log
	head -c 4096 /dev/urandom >random.log
	cp random.log random.index
	mkfifo fifo.log
	refused 65 'empty.log: too short for a transaction log' empty.log
	refused 65 'random.log: ' random.log
	refused 65 'random.index: ' random.index
	cp random.log random.cache
	refused 65 'random.cache: ' random.cache
	refused 65 'empty.log: too short for a cache' --cache empty.log
	refused 66 'fifo.log: neither a file nor a folder' fifo.log
	refused 66 'none: open: No such file' none
	refused 66 ': there is no log' .
	refused 65 'dovecot.index: a transaction log of version 7.3' --log box/dovecot.index
}

@test "dump: wrong usage is 64" {
	refused 64 'a PATH is needed'
	refused 64 'one argument too many' box home
	refused 64 'only one of' --map --log box
	refused 64 'only one of' --cache --list box
	refused 64 '--since is for --changes' --since 1:2:3 box
	for since in 1:2 1:2:3:4 a:b:c '' 1:2:-3 4294967296:1:1 1:4294967296:1 99999999999999999999999999999999999999999999:1:1; do
		refused 64 'expected INDEXID:FILE-SEQ:OFFSET' --changes --since "$since" box
	done
}

@test "dump: a full stdout is 74" {
	for what in --log --map --cache --changes; do
		run --separate-stderr -74 bash -c '"$1" "$2" -f tab box >/dev/full' _ "$bin/metacache-dump" $what
		[[ "$stderr" == "metacache-dump: "*"No space left on device"* ]]
	done
	run --separate-stderr -74 bash -c '"$1" --list home >/dev/full' _ "$bin/metacache-dump"
}

@test "dump: names in files cannot act on a terminal" {
	before=skip
	sed -i 's/INBOX/IN\x1b[m/' home/dovecot.list.index.log
	for format in flow pager table; do
		run -0 dump -f $format home
		[[ "$output" != *$'\e'* ]]
	done
	dump -f json home | jq -e '.folders[0].name == "IN\u001b[m"'
}
