#!/usr/bin/env bats
# metacache-unpack: every exit code, both kinds of output, a full disk, bad input.

setup() {
	unset TMPDIR
	. "$BATS_TEST_DIRNAME/../json.bash"
	bin=$(cd "$BIN" && pwd)
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir -p cache/user@example.com store
	printf 'a list of folders\n' >cache/user@example.com/dovecot.list.index.log
	printf 'INBOX\n' >cache/user@example.com/subscriptions
	chmod 640 cache/user@example.com/subscriptions
	chmod 600 cache/user@example.com/dovecot.list.index.log
	touch -d @1700000000.123456789 cache/user@example.com/*
	cat >conf <<-END
		metacache_roots = $PWD/cache
		mail_home = %u
		object_prefix = %u
		obox_index_fs = posix:$PWD/store
		state_dir = $PWD/state
		backend_host = backend-1
	END
	"$bin/metacache-flush" -q -c conf -u user@example.com >/dev/null
	key=$(cd store && find . -type f -name 'bundle.*' -printf '%P\n')
	cp "store/$key" bundle
}

unpack() {
	json_kept "$bin/metacache-unpack" "$@"
}

teardown() { json_valid; }

# No temporary is left beside DEST.
no_rest() {
	[ -z "$(find . -name '.unpack-*')" ]
}

# refused CODE TEXT ARG...: one line on stderr with TEXT in it, DEST not there.
refused() {
	local code=$1 text=$2
	shift 2
	run --separate-stderr -"$code" "$bin/metacache-unpack" "$@"
	[ "$output" = "" ]
	[[ "$stderr" == "metacache-unpack: "*"$text"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ ! -e dest ]
	no_rest
}

same_as_cache() {
	diff -r --exclude=.state --exclude=.state.blocks cache/user@example.com "$1"
	[ "$(stat -c '%a %y' "$1/subscriptions")" = \
		"$(stat -c '%a %y' cache/user@example.com/subscriptions)" ]
}

# A tree like the user's with changes, packed whole for its digests, becomes a diff on
# `bundle` by hand: the log grew by what is in $tail, "new" is new, subscriptions is as
# it was. `changed` is the tree.
make_diff() {
	local tail='and more' size=18
	mkdir -p changed cache/other@example.com in
	cp -p cache/user@example.com/{dovecot.list.index.log,subscriptions} changed/
	printf %s "$tail" >>changed/dovecot.list.index.log
	echo new >changed/new
	chmod 600 changed/new
	touch -d @1700000000.5 changed/* # a number that jq does not round
	cp -p changed/* cache/other@example.com/
	"$bin/metacache-flush" -q -c conf -u other@example.com >/dev/null
	tar -C in -xf "$(find store/other@example.com -name 'bundle.*')"
	jq --arg base "${key##*/}" --argjson at "$size" --argjson len "${#tail}" '
		.type = "diff" | .base = $base | .username = "user@example.com" |
		.files |= map(
			if .name == "dovecot.list.index.log" then
				.from = .name | .ranges = [[$at, $len]]
			elif .name == "subscriptions" then .from = .name
			else . end)' in/.manifest.json >manifest
	mv manifest in/.manifest.json
	printf %s "$tail" >in/dovecot.list.index.log
	pack_diff diff
}

# pack_diff NAME [FILE...]: what is in `in`, in the manifest's order.
pack_diff() {
	local name=$1
	shift
	[ $# -gt 0 ] || set -- dovecot.list.index.log new
	tar -C in -b 1 -cf "$name" --format=ustar .manifest.json "$@"
}

bats_require_minimum_version 1.5.0

@test "unpack: into a new folder" {
	unpack bundle dest
	same_as_cache dest
	no_rest
}

@test "unpack: into an empty folder, which keeps its mode" {
	mkdir -m 751 dest
	unpack bundle dest/
	same_as_cache dest
	[ "$(stat -c %a dest)" = 751 ]
}

@test "unpack: into the folder that a link names" {
	mkdir real
	ln -s real dest
	unpack bundle dest
	same_as_cache real
	[ -L dest ]
}

@test "unpack: from standard input" {
	unpack - dest <bundle
	same_as_cache dest
	cat bundle | unpack - from-a-pipe
	same_as_cache from-a-pipe
}

@test "unpack: from the store" {
	unpack -c conf --store "$key" dest
	same_as_cache dest
}

@test "unpack: of the user and unit that is asked for" {
	unpack -u user@example.com --unit '' bundle dest
	same_as_cache dest
}

@test "list: text" {
	unpack -l -f tab bundle >got
	cat >want <<-END
		name	size	mtime	mode	digest	packed	from
		dovecot.list.index.log	18	1700000000	0600	93c50ec76f7573bd81f85ef82b6d26bd	18	
		subscriptions	6	1700000000	0640	ef4cca10229306738158ce7f2e4fecd1	6	
	END
	diff want got
}

@test "list: JSON, with numbers as numbers" {
	unpack -l -f json bundle | jq -cS '.files | sort_by(.name)[]' >got
	cat >want <<-END
		{"digest":"93c50ec76f7573bd81f85ef82b6d26bd","from":null,"mode":"0600","mtime":1700000000,"name":"dovecot.list.index.log","packed":18,"size":18}
		{"digest":"ef4cca10229306738158ce7f2e4fecd1","from":null,"mode":"0640","mtime":1700000000,"name":"subscriptions","packed":6,"size":6}
	END
	diff want got
	unpack --list -f jsonl --field name bundle | jq -r .name >names
	diff names <(printf 'dovecot.list.index.log\nsubscriptions\n')
}

@test "a base and a diff" {
	make_diff
	unpack bundle diff dest
	diff -r changed dest
	[ "$(stat -c '%a %y' dest/*)" = "$(stat -c '%a %y' changed/*)" ]
	no_rest
	mkdir -m 751 kept
	unpack -u user@example.com --unit '' "store/$key" diff kept
	diff -r changed kept
	[ "$(stat -c %a kept)" = 751 ]
	unpack bundle - from-stdin <diff
	diff -r changed from-stdin
	no_rest
}

@test "a base and a diff from the store" {
	make_diff
	cp diff "store/$key-00112233445566778899aabbccddeeff"
	unpack -c conf --store "$key" "$key-00112233445566778899aabbccddeeff" dest
	diff -r changed dest
}

@test "list: a diff says where its files come from" {
	make_diff
	unpack -l -f jsonl --field name --field size --field packed --field from diff |
		jq -cS 'select(.name)' >got
	cat >want <<-END
		{"from":"dovecot.list.index.log","name":"dovecot.list.index.log","packed":8,"size":26}
		{"from":null,"name":"new","packed":4,"size":4}
		{"from":"subscriptions","name":"subscriptions","packed":0,"size":6}
	END
	diff want got
}

@test "65: a diff alone, on a diff, a base for a diff" {
	make_diff
	refused 65 'diff: a diff, which is nothing without its base' diff dest
	refused 65 'diff: a diff, which is nothing without its base' diff diff dest
	refused 65 'bundle: a base, where a diff is expected' bundle bundle dest
}

@test "65: a diff on another base, of another user or unit" {
	make_diff
	local other=bundle.6553f100.1e240.00112233445566778899aabbccddeeff
	cp bundle "$other"
	refused 65 "diff: builds on ${key##*/}" "$other" diff dest
	other=$(find store/other@example.com -name 'bundle.*')
	refused 65 'diff: is of user "user@example.com", unit ""; the base is of another' "$other" diff dest
	refused 65 'is of user' -u other@example.com "$other" diff dest
	refused 65 'is of unit' --unit x bundle diff dest
	# A base of the right name and owner with other content.
	mkdir wrong
	tar -C wrong -xf "$other"
	jq '.username = "user@example.com"' wrong/.manifest.json >manifest
	mv manifest wrong/.manifest.json
	tar -C wrong -b 1 -cf base --format=ustar .manifest.json dovecot.list.index.log new subscriptions
	jq '.files[0].ranges = [[0, 8]] | .files[0].size = 18' in/.manifest.json >manifest
	mv manifest in/.manifest.json
	pack_diff diff
	refused 65 'diff: "dovecot.list.index.log" has a wrong digest' base diff dest
}

@test "65: a hostile diff" {
	make_diff
	pack_diff evil dovecot.list.index.log new subscriptions
	refused 65 '"subscriptions" is there, the manifest says that it is not' bundle evil dest
	pack_diff evil dovecot.list.index.log
	refused 65 '"new" is missing' bundle evil dest
	jq '.files[0].from = "../bundle"' in/.manifest.json >manifest
	cp in/.manifest.json good
	cp manifest in/.manifest.json
	pack_diff evil
	refused 65 '"from" "../bundle" of "dovecot.list.index.log" is not allowed' bundle evil dest
	jq '.files[0].from = "nowhere"' good >in/.manifest.json
	pack_diff evil
	refused 65 'the base has no "nowhere"' bundle evil dest
	jq '.files[0].ranges = [[0, 99]]' good >in/.manifest.json
	pack_diff evil
	refused 65 'range 0 of "dovecot.list.index.log" is empty, out of order, or beyond the file' \
		bundle evil dest
	jq '.files[0].size = 70000000000' good >in/.manifest.json
	pack_diff evil
	refused 65 'unpacks to more than the limit' bundle evil dest
	[ ! -e escaped ]
}

@test "66: no such diff" {
	refused 66 "nowhere: open: No such file" bundle nowhere dest
}

@test "a bundle opens with tar" {
	mkdir dest
	tar -C dest -xf bundle
	rm dest/.manifest.json
	diff -r --exclude=.state --exclude=.state.blocks cache/user@example.com dest
}

@test "64: no arguments, too many, a wrong option, an unknown field" {
	refused 64 "a BASE and a DEST are needed"
	refused 64 "a BASE and a DEST are needed" bundle
	refused 64 "--list takes a BUNDLE" -l bundle dest
	refused 64 "" bundle diff dest more
	refused 64 "" --no-such-option bundle dest
	refused 64 "no-such-field" -l --field no-such-field bundle
}

@test "65: damaged, at every place" {
	local size at
	size=$(stat -c %s bundle)
	for at in 0 1 3 4 10 100 $((size / 2)) $((size - 1)); do
		head -c "$at" bundle >cut
		refused 65 "cut: " cut dest
		refused 65 "cut: " cut ./dest
	done
	{ cat bundle; echo more; } >longer
	refused 65 "longer: " longer dest
	echo "no bundle at all" >text
	refused 65 "text: damaged or cut short" text dest
	refused 65 "text: damaged or cut short" -l text
}

@test "65: hostile archives, and nothing beside DEST" {
	mkdir in
	tar -C in -xf bundle
	echo escaped >in/escaped
	tar -C in -cf evil --format=ustar .manifest.json --transform 's,^escaped,../escaped,' escaped
	refused 65 '"../escaped" is not in the manifest' evil dest
	[ ! -e escaped ]
	ln -sf /etc/passwd in/subscriptions
	tar -C in -cf evil --format=ustar .manifest.json dovecot.list.index.log subscriptions
	refused 65 '"subscriptions" is a symbolic link' evil dest
	rm in/subscriptions
	echo inbox >in/subscriptions
	tar -C in -cf evil --format=ustar .manifest.json dovecot.list.index.log subscriptions
	refused 65 '"subscriptions" has a wrong digest' evil dest
	tar -C in -cf evil --format=ustar .manifest.json dovecot.list.index.log
	refused 65 '"subscriptions" is missing' evil dest
	tar -C in -cf evil --format=ustar dovecot.list.index.log .manifest.json
	refused 65 'starts with "dovecot.list.index.log", not with a manifest' evil dest
	gzip -c bundle >evil
	refused 65 'compressed more than once' evil dest
}

@test "65: of another user or unit" {
	refused 65 'is of user "user@example.com"' -u other@example.com bundle dest
	refused 65 'is of unit ""' --unit mailboxes/x bundle dest
}

@test "66: no such bundle" {
	refused 66 "nowhere: open: No such file" nowhere dest
	refused 66 "not a file" store dest
	refused 66 "not a file" /dev/zero dest
	refused 66 "no such object in posix" -c conf --store user@example.com/idx/nowhere dest
}

@test "64: a hostile object name" {
	refused 64 "" -c conf --store ../bundle dest
}

@test "73: DEST is not empty, a file, or has no parent; it stays as it was" {
	mkdir full
	echo mine >full/mine
	run --separate-stderr -73 unpack bundle full
	[[ "$stderr" == "metacache-unpack: full: not empty" ]]
	[ "$(ls -A full)" = mine ]
	run --separate-stderr -73 unpack bundle full/mine
	[ "$(cat full/mine)" = mine ]
	refused 73 "nowhere/dest: " bundle nowhere/dest
	refused 73 "/: " bundle /
	refused 73 "" bundle ""
	ln -s nothing loose
	refused 73 "a link to something that is not there" bundle loose
	no_rest
}

@test "an empty DEST is as it was after a failure" {
	mkdir -m 751 kept
	mkdir in
	tar -C in -xf bundle
	echo inbox >in/subscriptions
	tar -C in -cf evil --format=ustar .manifest.json dovecot.list.index.log subscriptions
	run -65 unpack evil kept
	[ -z "$(ls -A kept)" ]
	[ "$(stat -c %a kept)" = 751 ]
	no_rest
}

@test "73: the disk is full" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	mkdir small
	mount -t tmpfs -o size=16k,nr_inodes=20 none small || skip "no tmpfs here"
	head -c 100000 /dev/urandom >cache/user@example.com/dovecot.list.index
	"$bin/metacache-flush" -q -c conf -u user@example.com >/dev/null
	key=$(cd store && find . -type f -name 'bundle.*' -printf '%T@ %P\n' | sort -n | tail -1)
	run --separate-stderr -73 unpack "store/${key#* }" small/dest
	left=$(ls -A small)
	umount small
	[ -z "$left" ]
	[[ "$stderr" == "metacache-unpack: small/dest: "*"No space left on device"* ]]
}

@test "74: stdout is full" {
	run --separate-stderr -74 bash -c "'$bin/metacache-unpack' -l bundle >/dev/full"
	[[ "$stderr" == "metacache-unpack: "*"No space left on device"* ]]
}

@test "78: --store without settings" {
	refused 78 "no-such-conf" -c no-such-conf --store "$key" dest
}

@test "names in messages can't act on a terminal" {
	run --separate-stderr -66 unpack $'a\e[31m\nb' dest
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ "$stderr" != *$'\e'* ]]
}
