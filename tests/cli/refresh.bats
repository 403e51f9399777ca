#!/usr/bin/env bats
# metacache-refresh: each result, conflicts, locks, sessions, bundles that are no good, listings
# that fail.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2 flushed
}

# Another backend goes on with what this one flushed.
elsewhere() {
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
}
there() { json_kept "$BIN/metacache-refresh" -c "$W/there/conf" "$@"; }
result() { fields result refresh -u "$user" "$@"; }

@test "created: rows as text and JSON" {
	world_conf "$W/there"
	bytes=$(find "$W/store" -path "*$user*" -name 'bundle.*' -printf '%s\n' | paste -sd+ | bc)
	[ "$(there -u "$user" -f json | jq -c 'del(.users[0].duration_ms)')" = \
		'{"users":[{"username":"'"$user"'","result":"created","created":3,"changed":0,"unchanged":0,"conflicts":0,"bytes":'"$bytes"',"error":null,"discarded":0,"lost":null}]}' ]
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
	[ "$(there -u "$user" | head -1)" = \
		$'username\tresult\tcreated\tchanged\tunchanged\tconflicts\tbytes\tduration_ms\terror\tdiscarded\tlost' ]
	[ "$(there -u "$user" -f jsonl | jq -c '[.result, .unchanged, .bytes, (.duration_ms | type)]')" = \
		'["refreshed_unchanged",3,0,"number"]' ]
}

@test "nothing: neither here nor in storage is 0, and makes nothing" {
	remember
	[ "$(fields username,result refresh -u nobody@example.com)" = $'nobody@example.com\tnothing' ]
	untouched
}

@test "refreshed_changed: what another backend wrote comes here" {
	elsewhere
	remember
	[ "$(fields result refresh -n -u "$user")" = refreshed_changed ]
	untouched
	[ "$(fields result,changed refresh -A | sort -u)" = $'refreshed_changed\t3' ]
	diff <(tree_of "$idx") <(tree_of "$W/there/idx")
	no_leftovers
}

@test "two downloads a unit at most, also while superseded bundles wait to be deleted" {
	gets() { "$BIN/metacache-status" -c "$W/there/conf" -f json | jq .requests.get.count; }
	for _ in 1 2 3 4 5; do
		echo more >>"$home/dovecot.list.index.log"
		mc flush -q -u "$user" -o "obox_index_fs=fault:delete@*=fail:posix:$W/store" >/dev/null 2>&1
	done
	[ "$(find "$W/store" -path "*$user/idx/*" | wc -l)" = 6 ]
	world_conf "$W/there"
	there -q -u "$user" >/dev/null
	[ "$(gets)" = 4 ] # a base and a diff, and two bases
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
	# A replaced base waits, too.
	head -c 9000 /dev/urandom >>"$home/dovecot.list.index.log"
	for _ in 1 2; do
		echo more >>"$home/dovecot.list.index.log"
		mc flush -q -u "$user" -o "obox_index_fs=fault:delete@*=fail:posix:$W/store" >/dev/null 2>&1
	done
	[ "$(find "$W/store" -path "*$user/idx/*" | wc -l)" = 8 ]
	rm -r "$W/there"
	world_conf "$W/there"
	there -q -u "$user" >/dev/null
	[ "$(gets)" = 4 ]
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "local changes that storage does not have stay: refreshed_unchanged" {
	world_change
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	[ "$(result)" = refreshed_unchanged ]
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
}

@test "kept: storage is not asked within the close delay, unless it is marked" {
	mc refresh -q -u "$user" --service imap >/dev/null
	mv "$W/store" "$W/away"
	mkdir "$W/store"
	[ "$(result -o metacache_close_delay=1h)" = kept ]
	rmdir "$W/store"
	mv "$W/away" "$W/store"
	[ "$(result --mark)" = marked ]
	[ "$(result -o metacache_close_delay=1h)" = refreshed_unchanged ]
	[ "$(result -o metacache_close_delay=1h)" = kept ]
}

@test "--mark -n changes nothing" {
	remember
	state=$(sha256sum <"$home/.state")
	[ "$(result --mark -n)" = marked ]
	untouched
	[ "$(sha256sum <"$home/.state")" = "$state" ]
}

@test "--service is kept as last-service" {
	mc refresh -q --service pop3 -u "$user" >/dev/null
	[ "$(fields last-service list "$user")" = pop3 ]
	mc refresh -q --service $'bad\e\nname' -u "$user" >/dev/null || true
	mc list -f table "$user" >"$BATS_TEST_TMPDIR/out"
	run -1 grep $'\e' "$BATS_TEST_TMPDIR/out"
}

@test "conflict: changed here and in storage is 65, both stay; --discard-important takes the one in storage" {
	elsewhere
	world_change
	echo here >>"$home/dovecot.list.index.log"
	remember
	says 65 'changed here, and storage has a bundle of another writer; both are kept (metacache-refresh --discard-important' \
		refresh -q -u "$user" -f json
	[ "$(jq -c '.users[0] | [.result, .conflicts, .changed]' "$BATS_TEST_TMPDIR/out")" = '["conflict",3,0]' ]
	untouched
	[ "$(result --discard-important)" = refreshed_changed ]
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "in_use: obsolete, but a session has it open: 75, and it is left alone" {
	elsewhere
	exec 7<"$home/dovecot.list.index.log"
	inode=$(stat -c %i "$home/dovecot.list.index.log")
	says 75 'root indexes is older than in storage, but a session has it open (refresh again' refresh -q -u "$user" -f tab --field result
	[ "$(tail -1 "$BATS_TEST_TMPDIR/out")" = in_use ]
	[ "$(stat -c %i "$home/dovecot.list.index.log")" = "$inode" ]
	exec 7<&-
	[ "$(result)" = refreshed_changed ]
}

@test "a login does not wait for an upload, unless something has to come from storage" {
	sink_start
	users 1
	mc flushall -q >/dev/null
	elsewhere
	mc refresh -q -u "$user" >/dev/null
	fault "kind=put count=0 do=slow=60000"
	sink_reset
	echo changed >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null 2>&1 3>&- &
	upload=$!
	for _ in $(seq 500); do [ "$(sink_counter .put.requests)" = 0 ] || break; sleep 0.02; done
	[ "$(result --service imap -o user_lock_timeout=100ms)" = refreshed_unchanged ]
	says 75 'is locked by another program' refresh -q -u "$user" -o user_lock_timeout=100ms
	fault
	echo changed >>"$(find "$W/there/idx" -path '*/mailboxes/*' -name '*.index.log' | head -n 1)"
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	says 75 'is locked by another program' refresh -q -u "$user" --service imap -o user_lock_timeout=100ms
	kill -0 "$upload"
	kill "$upload"
	wait "$upload" || true
	[ "$(result --service imap)" = refreshed_changed ]
}

@test "a user who is locked by another program: 75 after the time that is set" {
	elsewhere
	hold_user_locks
	remember
	says 75 'is locked by another program (try again' refresh -q -u "$user" -o user_lock_timeout=200ms
	untouched
	release
	[ "$(result)" = refreshed_changed ]
}

@test "a bundle that is no good is 65 and named; the home stays, or does not appear" {
	elsewhere
	bundle=$(find "$W/store" -path "*$user/mailboxes/*" -name 'bundle.*' | head -1)
	printf 'no bundle' >"$bundle"
	tree=$(tree_of "$idx")
	says 65 "${bundle##*/}" refresh -q -u "$user" -f tab --field result
	[ "$(tail -1 "$BATS_TEST_TMPDIR/out")" = failed ]
	folder=$(basename "$(dirname "$(dirname "$bundle")")")
	diff <(grep "$folder" <<<"$tree") <(tree_of "$idx" | grep "$folder")
	no_leftovers
	rm -r "$W/there"
	world_conf "$W/there"
	run -65 there -q -u "$user"
	[ -z "$(find "$W/there/idx" -name "*.index*" -path "*$folder*")" ]
}

@test "a bundle of another user is refused" {
	from=$(find "$W/store" -path "*${USERS[1]}/idx/*" -name 'bundle.*')
	cp "$from" "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*')"
	world_conf "$W/there"
	run -65 --separate-stderr there -q -u "$user"
	[ "${#stderr_lines[@]}" = 1 ]
	[[ "$stderr" == *"${USERS[1]}"* ]]
	[ -z "$(find "$W/there/idx" -name 'dovecot.list*')" ]
}

@test "a listing that fails: 69, the home stays, none is made" {
	elsewhere
	remember
	says 69 "$W/none: No such file" refresh -q -u "$user" -o "obox_index_fs=posix:$W/none"
	says 69 'connect' refresh -q -u "$user" \
		-o 'obox_index_fs=s3:http://K:S@127.0.0.1:1/?bucket=b&max_retries=0&max_connect_retries=0'
	for action in unavailable 500 truncate denied fail; do
		case $action in unavailable | 500) code=69 ;; truncate) code=65 ;; denied) code=77 ;; fail) code=74 ;; esac
		says $code "$user: " refresh -q -u "$user" -o "obox_index_fs=fault:list@*=$action:posix:$W/store"
	done
	untouched
	rm -rf "$home"
	remember
	says 69 "$W/none: No such file" refresh -q -u "$user" -o "obox_index_fs=posix:$W/none"
	untouched
}

@test "bundles of two writers in storage: said until an operator has chosen" {
	storage_of >/dev/null
	rm "$(find "$W/there/idx/" -path "*$user/.state")"
	echo other >>"$(find "$W/there/idx/" -path "*$user/dovecot.list.index.log")"
	mkdir "$W/aside"
	"$BIN/metacache-flushall" -q -c "$W/there/conf" -o "obox_index_fs=posix:$W/aside" >/dev/null
	theirs=$(cd "$W/aside" && find . -path "*$user/idx/*" -name 'bundle.*')
	older=$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*')
	cp "$W/aside/$theirs" "$W/store/$theirs"
	rm -rf "$home"
	says 65 'storage has bundles of two writers; the newest was taken' refresh -q -u "$user"
	for _ in 1 2; do
		says 65 'root indexes is of one writer, and storage has bundle.' flush -q -u "$user"
		[ "$(mc flushall -q -f json 2>/dev/null | jq -c '.summary | [.conflicts, .requests]')" = '[1,0]' ]
	done
	echo changed >>"$home/dovecot.list.index.log"
	says 65 'root indexes is of one writer, and storage has bundle.' flush -q -u "$user"
	[ -e "$older" ]
	mc flush -q --overwrite -u "$user" >/dev/null
	[ ! -e "$older" ]
	[ "$(mc flushall -q -f json | jq -c '.summary | [.conflicts, .requests]')" = '[0,0]' ]
	diff <(storage_of | grep "$user/dovecot") <(tree_of "$idx" | grep "$user/dovecot")
}

# killed COUNT: the refresh of a home that is obsolete ends after so many files were replaced.
killed() {
	elsewhere
	run -137 "$KILLAT" at "$1" --after --only renameat2 --path "$home/dovecot.list.index" \
		"$BIN/metacache-refresh" -q -c "$W/here/conf" -u "$user"
	[ "$(jq -r '.installing != null' "$home/.state")" = true ]
}

@test "a refresh that was cut short is finished by the next, also if it ends again" {
	killed 1
	says 75 'a refresh was cut short' flush -q -u "$user"
	run -137 "$KILLAT" at 1 --after --only renameat2 --path "$home/dovecot.list.index" \
		"$BIN/metacache-refresh" -q -c "$W/here/conf" -u "$user"
	mc refresh -q -u "$user" >/dev/null
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
	mc flushall -q >/dev/null
	no_leftovers
}

@test "a refresh that was cut short, and somebody has changed what it left: a conflict, and kept" {
	killed 1
	echo flag >>"$home/dovecot.list.index.log"
	for _ in 1 2; do
		says 65 'root indexes changed here, and storage has' refresh -q -u "$user"
		[ "$(tail -1 "$home/dovecot.list.index.log")" = flag ]
	done
	verify=0
	mc verify -q -u "$user" --repair >/dev/null || verify=$?
	[ "$verify" = 65 ]
	[ "$(tail -1 "$home/dovecot.list.index.log")" = flag ]
	mc refresh -q -u "$user" --discard-important >/dev/null
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
}

@test "a refresh that was cut short, and storage has nothing any more: overwrite ends it" {
	base=$(jq -r .base "$home/.state")
	jq -c --arg base "$base" '.installing = $base' "$home/.state" >"$home/.new"
	mv "$home/.new" "$home/.state"
	says 75 'a refresh was cut short (metacache-refresh finishes it; should' flush -q -u "$user"
	rm "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*')"
	mc flush -q --overwrite -u "$user" >/dev/null
	[ "$(mc flush -u "$user" -f json | jq -c '.users[0] | [.result, .unchanged]')" = '["unchanged",3]' ]
}

# Two backends flush a diff on the same base in the same moment: neither listing had the other's.
two_diffs() {
	storage_of >/dev/null
	theirs=$(find "$W/there/idx/" -path "*$user/dovecot.list.index.log")
	echo there >>"$theirs"
	cp -a "$W/store" "$W/aside"
	"$BIN/metacache-flushall" -q -c "$W/there/conf" -o "obox_index_fs=posix:$W/aside" >/dev/null
	echo here >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null
	cp -a "$W/aside/." "$W/store"
	base=$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' ! -name '*-*')
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*-*' | wc -l)" = 2 ]
}

@test "two diffs on one base: a conflict everywhere, the base stays as long as one of them needs it" {
	two_diffs
	# Here: the other one is unknown.
	echo more >>"$home/dovecot.list.index.log"
	says 65 'root indexes changed here, and storage has bundle.' flush -q -u "$user"
	# A third backend takes the newer one.
	rm -rf "$home"
	says 65 'storage has bundles of two writers; the newest was taken' refresh -q -u "$user"
	grep -q here "$home/dovecot.list.index.log"
	jq -e '.unmerged | length == 1' "$home/.state"
	# A new base of that: what the unmerged diff builds on is kept with it.
	head -c 8000 /dev/urandom >>"$home/dovecot.list.index.log"
	says 65 'root indexes is of one writer' flush -q -u "$user"
	[ -e "$base" ]
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' | wc -l)" = 3 ]
	jq -e '.unmerged | length == 2' "$home/.state"
	mc flush -q --overwrite -u "$user" >/dev/null
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' | wc -l)" = 1 ]
}

@test "a diff whose base is gone, and that nobody includes, is another writer's: a conflict" {
	two_diffs
	mc flush -q --overwrite -u "$user" >/dev/null
	orphan=$(dirname "$base")/$(basename "$base" | sed 's/6b0/6a0/')-11111111111111111111111111111111
	echo rubbish >"$orphan"
	echo more >>"$home/dovecot.list.index.log"
	says 65 "storage has ${orphan##*/} of another writer" flush -q -u "$user"
	rm -rf "$home"
	says 65 "${orphan##*/} is kept there" refresh -q -u "$user"
	[ -e "$home/dovecot.list.index.log" ]
	[ -e "$orphan" ]
	# Nothing else of the unit is left: nothing to take.
	rm -rf "$home" "${base%/*}"/bundle.6b*
	says 65 'storage has only bundle.' refresh -q -u "$user"
}

# A diff of this backend on a base that another one is replacing in the same moment; neither listing
# had the other's.
diff_against_base() {
	storage_of >/dev/null
	head -c 9000 /dev/urandom >>"$(find "$W/there/idx/" -path "*$user/dovecot.list.index.log")"
	cp -a "$W/store" "$W/aside"
	base=$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' -printf '%f\n')
	echo here >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null
	"$BIN/metacache-flushall" -q -c "$W/there/conf" -o "obox_index_fs=posix:$W/aside" >/dev/null
	cp -an "$W/aside/." "$W/store"
	storage=$(dirname "$(find "$W/store" -path "*$user/idx/*" -name "$base")")
}

@test "a diff on a base that another backend replaces: nothing is lost, both are told" {
	diff_against_base
	# The other one has not deleted the old base: it looks again first.
	[ -e "$storage/$base" ]
	run -65 --separate-stderr "$BIN/metacache-flushall" -q -c "$W/there/conf"
	[[ "$stderr" == *"root indexes has a new base, and storage has $base-"*' of another writer'* ]]
	[ -e "$storage/$base" ]
	says 65 'storage has bundles of two writers, and one of them is what is here' refresh -q -u "$user"
	tail -c 5 "$home/dovecot.list.index.log" | grep -q here
	# Even if the base is deleted by somebody.
	rm "$storage/$base"
	says 65 'storage has bundles of two writers, and one of them is what is here' refresh -q -u "$user"
	tail -c 5 "$home/dovecot.list.index.log" | grep -q here
	says 65 'root indexes' clean -q -u "$user"
	mc flush -q --overwrite -u "$user" >/dev/null
	[ "$(find "$storage" -name 'bundle.*' | wc -l)" = 1 ]
}

@test "--discard-important takes the other one, also of a conflict that is known" {
	two_diffs
	rm -rf "$home"
	says 65 'bundles of two writers' refresh -q -u "$user"
	grep -q here "$home/dovecot.list.index.log"
	[ "$(result --discard-important)" = refreshed_changed ]
	grep -q there "$home/dovecot.list.index.log"
	[ "$(mc flush -u "$user" -f json | jq -r '.users[0].result')" = unchanged ]
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*' | wc -l)" = 2 ]
}

@test "the first try of an upload that lands late is no other writer's, whoever reads it" {
	world_change
	cp -a "$W/store" "$W/before"
	cp "$home/.state" "$W/state"
	mc flush -q -u "$user" >/dev/null
	late=$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*-*')
	mv "$late" "$W/late"
	cp -p "$W/state" "$home/.state"
	echo more >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null
	mv "$W/late" "$late"
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*-*' | wc -l)" = 2 ]
	diff <(tree_of "$home") <(storage_of | grep "$user/" | sed "s|\./[^/]*/$user/|./|")
	mc flush -q -u "$user" >/dev/null
	echo again >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null
	[ "$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*-*' | wc -l)" = 1 ]
}

@test "a tree that was copied from another host does not pass for its writer's" {
	rm -rf "$W/there"
	world_conf "$W/there"
	cp -a "$idx/." "$W/there/idx"
	echo here >>"$home/dovecot.list.index.log"
	mc flush -q -u "$user" >/dev/null
	# As if the writer had been killed before it noted the upload, and this was copied then.
	run -65 --separate-stderr there -q -u "$user"
	[[ "$stderr" == *'changed here, and storage has a bundle of another writer'* ]]
}

@test "a diff that is damaged, or of another base, is refused and named" {
	world_change
	mc flush -q -u "$user" >/dev/null
	diff=$(find "$W/store" -path "*$user/idx/*" -name 'bundle.*-*')
	cp "$diff" "$W/good"
	world_conf "$W/there"
	for damage in 'truncate -s -9' 'cp '"$(find "$W/store" -path "*$user/mailboxes/*" -name 'bundle.*-*' | head -1)" "cp ${diff%-*}"; do
		cp "$W/good" "$diff"
		$damage "$diff"
		rm -rf "$W/there/idx"/*
		run -65 --separate-stderr there -q -u "$user"
		[[ "$stderr" == *"${diff##*/} is refused"* ]]
		[ -z "$(find "$W/there/idx" -name 'dovecot.list*')" ]
	done
	cp "$W/good" "$diff"
	there -q -u "$user" >/dev/null
	diff <(tree_of "$home") <(tree_of "$(find "$W/there/idx" -name "$user")")
}
