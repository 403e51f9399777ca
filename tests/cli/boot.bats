#!/usr/bin/env bats
# metacache-boot, and what the crash rule does with what is in the metacache: given up is only what is
# known to have been written in a boot that crashed, and nothing is lost silently.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	users 2
	reboots=$W/here/state/reboots
	log=$BATS_TEST_TMPDIR/err
}

states() { fields state boot status 2>/dev/null | paste -sd' '; }
kept() { find "$idx/.trash" -mindepth 1 -maxdepth 1 -name 'kept-*' | wc -l; }
# The trees here are what storage has, and nobody has anything to upload.
as_stored() {
	diff <(tree_of "$idx") <(storage_of) && [ "$(fields changes list | sort -u)" = none ]
}

@test "start, stop and status: rows as text and JSON" {
	says 64 '"": expected start, stop or status' boot
	says 64 '"restart": expected start, stop or status' boot restart
	says 66 'reboots: there is no such file (run metacache-boot start' boot status
	says 66 'reboots: there is no such file' boot stop
	[ ! -e "$reboots" ]
	[ "$(mc boot start -f json | jq -c '.boots[0] | [.host, .clean, .state, (.started | type)]')" = \
		'["here",null,"running","number"]' ]
	[ "$(mc boot status | head -1)" = $'boot\thost\tstarted\tclean\tstate' ]
	[ "$(stat -c %a "$reboots")" = 600 ]
	other_boot 'mc boot start; mc boot stop'
	other_boot 'mc boot start'
	mc boot start >/dev/null 2>"$log" || true
	[ "$(states)" = 'running clean crashed' ]
}

@test "start after a crash warns, after a clean stop it does not" {
	other_boot 'mc boot start'
	mc boot start >/dev/null 2>"$log"
	grep -q "metacache_boot_crashed boot=$(sed -n '2s/ .*//p' "$reboots")" "$log"
	rm "$reboots"
	other_boot 'mc boot start; mc boot stop'
	mc boot start >/dev/null 2>"$log"
	[ ! -s "$log" ]
	[ "$(states)" = 'clean running' ]
}

@test "a boot is noted once; start takes the clean mark off, stop sets it, -n does neither" {
	for _ in 1 2 3; do mc boot start >/dev/null; done
	[ "$(states)" = running ]
	mc boot stop -n >/dev/null
	[ "$(states)" = running ]
	mc boot stop >/dev/null
	mc boot start -n >/dev/null
	[ "$(states)" = stopped ]
	[ "$(mc boot stop -f jsonl | jq -r '.state, (.clean | type)' | paste -sd' ')" = 'stopped number' ]
	mc boot start >/dev/null
	[ "$(states)" = running ]
}

@test "a damaged file is 65; start keeps what can be read, and the old one beside it" {
	other_boot 'mc boot start'
	echo garbage >>"$reboots"
	cp "$reboots" "$W/damaged"
	says 65 'reboots: line 3 is damaged (metacache-boot start keeps what can be read of it)' boot status
	says 65 'line 3 is damaged' boot stop
	cmp "$reboots" "$W/damaged"
	mc boot start -q >/dev/null
	[ "$(states)" = 'crashed running' ]
	cmp "$reboots.damaged" "$W/damaged"
	echo 'metacache-tools reboots 2' >"$reboots"
	says 65 'is of a later version' boot start
	rm "$reboots" && mkdir "$reboots"
	for what in start stop status; do
		mc boot $what >/dev/null 2>"$log" && return 1
		[ "$(wc -l <"$log")" = 1 ]
	done
}

@test "refresh gives up what was written before a crash; changes that storage has not are kept and named" {
	world_crash
	tree_of "$home" >"$W/changed"
	mc refresh -u "$user" -f json >"$W/out" 2>"$log"
	jq -e '.users[0] | .result == "refreshed_changed" and .changed == 3 and .discarded == 3 and .error == null' "$W/out"
	diff <(tree_of "$home") <(storage_of | grep -F "$user" | sed "s,\./../$user/,./,")
	# Each unit is told, and all of it is in what was kept.
	[ "$(grep -c 'metacache_unit_discarded .*changes=important.* kept=.* lost=no' "$log")" = 3 ]
	[ "$(kept)" = 3 ]
	for path in $(sed -n 's/.* kept=\([^ ]*\) .*/\1/p' "$log"); do
		[ -d "$path" ]
		jq -r '.users[0].lost' "$W/out" | grep -qF "$path" || [ ${#path} -gt 80 ]
		tree_of "$path" | sed 's/ .*//'
	done | sort | diff - <(sed 's/ .*//' "$W/changed" | sort)
	# Once: what is here now was written in this boot.
	[ "$(fields result,discarded refresh -u "$user")" = $'refreshed_unchanged\t0' ]
	# Not this user's business.
	[ "$(fields result,discarded refresh -n -A | sort -u | tail -1)" = $'refreshed_unchanged\t0' ]
	[ "$(fields result,discarded refresh -n -u "${USERS[1]}")" = $'refreshed_changed\t3' ]
}

@test "without changes nothing is kept: it is all in storage" {
	other_boot 'mc boot start; mc flushall'
	mc boot start -q >/dev/null
	tree_of "$idx" >"$W/whole"
	[ "$(fields discarded,lost refresh -A -q | sort -u)" = $'3\t' ]
	diff "$W/whole" <(tree_of "$idx")
	[ "$(kept)" = 0 ]
}

@test "a flush does not upload what may be corrupt, unless an operator says so" {
	world_crash
	tree_of "$W/store" >"$W/stored"
	for what in 'flushall' 'flushall -i' "flush -u $user" 'flushall --due'; do
		mc $what -q >/dev/null
		diff "$W/stored" <(tree_of "$W/store")
	done
	[ "$(fields result,obsolete flush -u "$user")" = $'obsolete\t3' ]
	# That was no use of it: it is given up all the same.
	[ "$(fields discarded refresh -q -u "$user")" = 3 ]
	[ "$(fields result,uploaded flush --overwrite -u "${USERS[1]}")" = $'uploaded\t3' ]
	[ "$(fields discarded refresh -q -u "${USERS[1]}")" = 0 ]
}

@test "what was written before a clean stop is kept, whatever crashed since" {
	other_boot 'mc boot start; mc flushall; mc boot stop'
	other_boot 'mc boot start'
	mc boot start -q >/dev/null
	tree_of "$idx" >"$W/whole"
	[ "$(fields result,discarded refresh -A 2>"$log" | sort -u)" = $'refreshed_unchanged\t0' ]
	[ ! -s "$log" ]
	diff "$W/whole" <(tree_of "$idx")
}

@test "Dovecot wrote after our last word: what counts is the boot in which that was" {
	# In one that crashed.
	other_boot 'mc boot start; mc flushall; mc boot stop'
	other_boot 'mc boot start; sleep 0.05; for log in $(find "$WORLD/here/idx" -path "*/mailboxes/*.log" | head -1); do
		echo x >>$log; done'
	mc boot start -q >/dev/null
	[ "$(fields discarded refresh -q -A | paste -sd+ | bc)" = 1 ]
	[ "$(kept)" = 1 ]
}

# written_after_mark SECONDS: changes in a boot that was marked clean so long before, and then was over.
written_after_mark() {
	other_boot 'mc boot start; mc flushall; mc boot stop'
	awk -v ago=$((60 + $1)) -v now="$(date +%s)" 'NR == 2 {
		$2 = now - ago - 1000 ".000000000"; $4 = now - ago ".000000000" } 1' "$reboots" >"$W/early"
	cp "$W/early" "$reboots"
	world_change
	find "$idx" -type f ! -name '.state*' -exec touch -d '60 seconds ago' {} +
	other_boot 'mc boot start; mc boot stop'
	mc boot start -q >/dev/null
	[ "$(states)" = 'clean clean running' ]
	tree_of "$idx" >"$W/whole"
	tree_of "$W/store" >"$W/stored"
}

@test "who went on long after the clean mark, and nobody took it off: given up as after a crash, and kept" {
	written_after_mark 600
	mc flushall -q >/dev/null
	diff "$W/stored" <(tree_of "$W/store")
	[ "$(fields discarded refresh -q -u "$user")" = 3 ]
	[ "$(kept)" = 3 ]
	[ "$(crashed)" = '[3,3,0]' ]
	[ "$(kept)" = 4 ]
}

@test "a host that went down in order, and something ended just after the mark: kept, and said" {
	written_after_mark 20
	[ "$(crashed)" = '[0,0,0]' ]
	keeps 'after its boot was marked clean'
	[ "$(mc flushall -f json | jq .summary.uploaded)" = 6 ]
}

@test "what Dovecot has gone on with in this boot, before anybody asked, is kept and uploaded" {
	world_crash
	sleep 0.05
	world_change
	tree_of "$idx" >"$W/whole"
	[ "$(fields discarded refresh -q -A | sort -u)" = 0 ]
	diff "$W/whole" <(tree_of "$idx")
	[ "$(mc flushall -f json | jq .summary.uploaded)" = 6 ]
	[ "$(fields discarded refresh -q -A | sort -u)" = 0 ]
	as_stored
}

@test "what a crashed boot only looked at was not written in it" {
	other_boot 'mc boot start; mc flushall
		for log in $(find "$WORLD/here/idx" -name "*.index.log"); do echo x >>$log; done; mc boot stop'
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$W/there/conf" >/dev/null
	tree_of "$idx" >"$W/whole"
	# A conflict is noted in .state.
	other_boot 'mc boot start; mc flushall || [ $? = 65 ]'
	mc boot start -q >/dev/null
	[ "$(fields result,discarded refresh -q -A 2>/dev/null | sort -u)" = $'conflict\t0' ]
	diff "$W/whole" <(tree_of "$idx")
}

# Nothing is given up, and it is said why.
keeps() {
	tree_of "$idx" >"$W/whole"
	[ "$(fields discarded refresh -A 2>"$log" | sort -u)" = 0 ]
	diff "$W/whole" <(tree_of "$idx")
	[ "$(grep -c "metacache_boot_unknown .*reason=\".*$1.* outcome=kept" "$log")" = 2 ] && return
	cat "$log"
	return 1
}

@test "unknown means keep: the file is missing, damaged, unreadable, later, without this boot" {
	world_crash
	cp "$reboots" "$W/good"
	rm "$reboots"
	keeps 'no such file'
	echo x >>"$reboots"
	keeps 'line 1 is damaged'
	head -c -5 "$W/good" >"$reboots"
	keeps 'line 3 is damaged'
	echo 'metacache-tools reboots 2' >"$reboots"
	keeps 'later version'
	head -2 "$W/good" >"$reboots"
	keeps 'this boot is not in it'
	rm "$reboots" && mkdir "$reboots"
	keeps 'reboots: '
	rmdir "$reboots" && ln -s "$W/good" "$reboots"
	keeps 'reboots: '
	rm "$reboots" && sed 2d "$W/good" >"$reboots"
	keeps 'is not in reboots'
	# And with the good one it would not have been.
	cp "$W/good" "$reboots"
	[ "$(fields discarded refresh -q -A | sort -u)" = 3 ]
}

@test "unknown means keep: dated in the future, another host's, another container's of the same name" {
	world_crash
	cp "$reboots" "$W/good"
	sed -i '2s/ [0-9]*\./ 4444444444./' "$reboots"
	keeps 'not one after the other'
	sed '2s/here$/there/' "$W/good" >"$reboots"
	keeps 'is not in reboots'
	cp "$W/good" "$reboots"
	other_boot 'mc boot start'
	keeps 'another boot was noted after the one that runs'
	says 65 'another boot was noted after the one that runs (of two containers' boot status
	# Two of different names do not see each other's boots.
	cp "$W/good" "$reboots"
	other_boot 'mc boot start -o backend_host=there'
	[ "$(states)" = 'crashed running other_host' ]
	[ "$(fields discarded refresh -q -A | sort -u)" = 3 ]
}

@test "what storage has not is never given up" {
	world_crash
	rm -r "$W/store" && mkdir "$W/store"
	tree_of "$idx" >"$W/whole"
	mc refresh -A -q >/dev/null
	diff "$W/whole" <(tree_of "$idx")
	# Storage that does not answer: nothing is done, either.
	rmdir "$W/store"
	mc refresh -A -q >/dev/null 2>&1 && return 1
	diff "$W/whole" <(tree_of "$idx")
}

@test "never uploaded: kept, and a flush uploads it" {
	world_crash
	rm -r "$W/store" && mkdir "$W/store"
	# Only the name of a first upload was noted.
	for state in $(find "$idx" -name .state); do
		jq -c 'del(.base, .base_bytes, .diffs, .diff_bytes, .files, .log)' "$state" >"$W/state"
		cp "$W/state" "$state"
	done
	tree_of "$idx" >"$W/whole"
	[ "$(mc flushall -f json | jq .summary.uploaded)" = 6 ]
	diff "$W/whole" <(tree_of "$idx")
	as_stored
}

@test "a .state that the crash tore is judged by its time" {
	other_boot 'mc boot start; mc flushall; for state in $(find "$WORLD/here/idx" -name .state); do : >$state; done'
	mc boot start -q >/dev/null
	[ "$(fields discarded refresh -q -A | sort -u)" = 3 ]
	as_stored
	# The same in this boot is no sign of a crash.
	find "$idx" -name .state -exec truncate -s 0 {} +
	tree_of "$idx" >"$W/whole"
	[ "$(fields discarded refresh -q -A 2>/dev/null | sort -u)" = 0 ]
	diff "$W/whole" <(tree_of "$idx")
}

@test "a session that has it open keeps it: 75, and it is given up when it is closed" {
	world_crash
	exec 7<"$home/dovecot.list.index.log"
	tree_of "$home" >"$W/whole"
	says 75 'root indexes was being written when the host crashed, but a session has it open' refresh -q -u "$user"
	exec 7<&-
	[ "$(fields discarded refresh -q -u "$user")" = 1 ]
	[ "$(kept)" = 3 ]
}

@test "a login (--service) does the same, quietly" {
	world_crash
	[ "$(fields result,discarded refresh --service imap -u "$user" 2>"$log")" = $'refreshed_changed\t3' ]
	rm "$reboots"
	mc refresh --service imap -u "${USERS[1]}" >/dev/null 2>"$log"
	[ ! -s "$log" ]
}

crashed() { mc rescan -f json "$@" 2>"$log" | jq -c '.rescans[0] | [.discarded, .discarded_important, .suspect]'; }

@test "rescan takes away what a crash left; changes are kept and named, refresh brings back the rest" {
	world_crash
	tree_of "$home" >"$W/changed"
	[ "$(crashed)" = '[6,6,0]' ]
	[ -z "$(tree_of "$idx")" ]
	[ "$(kept)" = 2 ]
	# A home as it was, whole, in each.
	path=$(sed -n "s,.*user=$user unit=\"\" .*kept=\([^ ]*\) .*,\1,p" "$log")
	diff <(tree_of "$path") "$W/changed"
	[ "$(crashed)" = '[0,0,0]' ]
	[ "$(fields result refresh -q -u "$user")" = created ]
	[ "$(fields result refresh -q -u "${USERS[1]}")" = created ]
	as_stored
}

@test "rescan: nothing is kept where nothing had changed; after a clean stop nothing goes" {
	other_boot 'mc boot start; mc flushall'
	mc boot start -q >/dev/null
	[ "$(crashed)" = '[6,0,0]' ]
	[ "$(kept)" = 0 ]
	[ -z "$(tree_of "$idx")" ]
	mc refresh -q -u "$user" >/dev/null
	mc boot stop >/dev/null
	[ "$(crashed)" = '[0,0,0]' ]
	[ "$(fields result refresh -u "$user")" = refreshed_unchanged ]
}

@test "rescan: a folder by itself; root indexes wait for the next refresh if not all the rest is stored" {
	other_boot 'mc boot start; mc flushall; mc boot stop'
	other_boot 'mc boot start; sleep 0.05; log=$(find "$WORLD/here/idx" -path "*/mailboxes/*.log" | head -1); echo x >>$log
		echo x >>${log%/mailboxes/*}/dovecot.list.index.log'
	mc boot start -q >/dev/null
	# The other folder has changes that are only here, from a clean boot.
	echo more >>"$(find "$idx" -path '*/mailboxes/*.log' | sed -n 2p)"
	user=$(find "$idx" -path '*/mailboxes/*.log' | head -1 | cut -d/ -f$((1 + $(tr -dc / <<<"$idx" | wc -c) + 2)))
	tree_of "$idx" >"$W/before"
	says 75 'root indexes: the next metacache-refresh replaces it' rescan -q
	[ "$(jq -nR '[inputs] | length' <(tree_of "$idx"))" = $(($(wc -l <"$W/before") - 3)) ]
	[ "$(kept)" = 1 ]
	# The flag that was set since, and is only here, is still here.
	grep -qxFf <(tree_of "$idx") "$W/before"
	[ "$(fields created,changed,discarded refresh -q -u "$user")" = $'1\t1\t1' ]
	[ "$(kept)" = 2 ]
	[ "$(crashed)" = '[0,0,0]' ]
}

@test "rescan: all other units are in storage, so the home goes as a whole" {
	other_boot 'mc boot start; mc flushall; mc boot stop'
	other_boot 'mc boot start; sleep 0.05; for log in $(find "$WORLD/here/idx" -name dovecot.list.index.log); do echo x >>$log; done'
	mc boot start -q >/dev/null
	[ "$(crashed)" = '[2,2,0]' ]
	[ -z "$(tree_of "$idx")" ]
	[ "$(kept)" = 2 ]
}

@test "rescan: what storage has not, what is in use, locked, or can't be asked for, stays and is suspect" {
	world_crash
	tree_of "$idx" >"$W/whole"
	stays() {
		says "$1" "$2" rescan -q "${@:3}"
		diff "$W/whole" <(tree_of "$idx")
	}
	mv "$W/store" "$W/away" && mkdir "$W/store"
	stays 65 'storage has nothing to put in its place'
	rmdir "$W/store"
	stays 69 'storage could not be asked'
	mv "$W/away" "$W/store"
	stays 69 'storage could not be asked' -o obox_index_fs=
	exec 7<"$home/dovecot.list.index.log"
	says 75 'a session has the indexes open' rescan -q
	exec 7<&-
	diff <(grep -F "$user" "$W/whole") <(tree_of "$idx")
	tree_of "$idx" >"$W/whole"
	hold_user_locks
	stays 75 'locked'
	release
	[ "$(crashed)" = '[3,3,0]' ]
}

@test "rescan: unknown means keep, and is said" {
	world_crash
	tree_of "$idx" >"$W/whole"
	rm "$reboots"
	[ "$(crashed)" = '[0,0,0]' ]
	diff "$W/whole" <(tree_of "$idx")
	grep -q 'metacache_boot_unknown error="reboots: there is no such file" hint="run metacache-boot start' "$log"
}
