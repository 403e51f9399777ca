#!/usr/bin/env bats
# Two at once. Each race is run for some rounds; what must hold is checked in each.

bats_require_minimum_version 1.5.0

ROUNDS=${FAULT_ROUNDS:-30}

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	T=$BATS_TEST_TMPDIR
	loop=
	world_make "$T/world"
	here=$WORLD/here/idx
	user=${USERS[0]}
	home=$(echo "$here"/??/"$user")
}

teardown() { [ -z "$loop" ] || stop_loop; }

# there PROGRAM…: on the second backend.
there() {
	local program=$1
	shift
	"$BIN/metacache-$program" -c "$WORLD/there/conf" "$@"
}

# both A B: two shell functions at once; their exit codes in $a and $b.
both() {
	local pid_a pid_b
	a=0 b=0
	"$1" >"$T/a" 2>&1 3>&- &
	pid_a=$!
	"$2" >"$T/b" 2>&1 3>&- &
	pid_b=$!
	wait "$pid_a" || a=$?
	wait "$pid_b" || b=$?
}

# Only these exit codes; anything else is a failure that nobody planned.
among() {
	[[ " $2 " == *" $1 "* ]] || {
		echo "exit code $1, round $round"
		cat "$T/a" "$T/b"
		return 1
	}
}

stop_loop() {
	touch "$T/stop"
	wait "$loop" || true
	loop=
}

@test "flushall with flushall: everything in storage once, and no conflict" {
	# With a mask it is not refused.
	run_it() { mc flushall -q '*'; }
	for round in $(seq "$ROUNDS"); do
		world_change
		both run_it run_it
		among $a 0
		among $b 0
		storage_is_tidy
	done
	tree_of "$here" >"$T/whole"
	diff "$T/whole" <(storage_of)
}

@test "flush with a writer that appends under Dovecot's lock: each upload is a state that was" {
	cat >"$T/writer.py" <<-'PY'
		import fcntl, glob, os, sys
		logs = glob.glob(sys.argv[1] + "/**/dovecot.index.log", recursive=True)
		n = 0
		while not os.path.exists(sys.argv[2]) and n < 200000:
		    for path in logs:
		        with open(path, "ab", buffering=0) as log:
		            fcntl.lockf(log, fcntl.LOCK_EX)
		            # Torn on purpose while the lock is held.
		            log.write(b"<%07d" % n)
		            log.write(b"%07d>" % n)
		    n += 1
	PY
	for log in "$home"/mailboxes/*/dovecot.index.log; do : >"$log"; done
	python3 "$T/writer.py" "$home" "$T/stop" 3>&- &
	loop=$!
	for round in $(seq "$ROUNDS"); do
		a=0
		mc flush -q -u "$user" >"$T/a" 2>&1 || a=$?
		: >"$T/b"
		among $a "0 75"
	done
	[ "$(bundles)" -gt 0 ]
	storage_of >/dev/null
	for log in "$WORLD"/there/idx/??/"$user"/mailboxes/*/dovecot.index.log; do
		[ -s "$log" ]
		python3 -c '
import re, sys
text = open(sys.argv[1], "rb").read()
assert re.fullmatch(rb"(<(\d{7})\2>)+", text), text[-40:]' "$log"
	done
	stop_loop
	mc flush -q -u "$user" >/dev/null
	tree_of "$here" >"$T/whole"
	diff "$T/whole" <(storage_of)
}

@test "flush on two backends: one wins or a conflict is told, and no bundle is lost" {
	mc flush -q -u "$user" >/dev/null
	tree_of "$here" >"$T/base"
	storage_of >/dev/null
	flush_here() { mc flush -q -u "$user"; }
	flush_there() { there flush -q -u "$user"; }
	local outcomes= # for the reader of a failure
	for round in $(seq "$ROUNDS"); do
		echo "here $round" >>"$home/dovecot.list.index.log"
		echo "there $round" >>"$WORLD"/there/idx/??/"$user"/dovecot.list.index.log
		both flush_here flush_there
		among $a "0 65"
		among $b "0 65"
		# Each side that was told "uploaded" has its bundle in storage: named in its .state.
		# (What a loser's .state names, the winner may have superseded.)
		for state in "$a:$home/.state" "$b:$(echo "$WORLD"/there/idx/??/"$user"/.state)"; do
			[ "${state%%:*}" = 0 ] || continue
			state=${state#*:}
			base=$(jq -r .base "$state")
			[ -n "$(find "$WORLD/store" -name "$base")" ] || {
				echo "round $round ($a, $b): $base is gone"
				return 1
			}
		done
		# Nobody's work is overwritten here, whoever won.
		tail -n 1 "$home/dovecot.list.index.log" | grep -aq "here $round\$"
		# Who was not told at once is told by the next command: both bundles are there.
		[ $((a + b)) -gt 0 ] || run -65 mc refresh -q -u "$user"
		outcomes+=" $a/$b"
		# An operator decides, and both go on from there.
		mc flush -q --overwrite -u "$user" >/dev/null
		there refresh -q --discard-important -u "$user" >/dev/null
		diff <(tree_of "$here") <(tree_of "$WORLD/there/idx")
	done
	echo "$outcomes" >"$T/outcomes"; [ -z "${FAULT_SHOW:-}" ] || cp "$T/outcomes" "$FAULT_SHOW"
	[[ "$outcomes" == *65* ]]
}

@test "refresh with flush, and clean with refresh, on one backend" {
	flush_it() { mc flush -q -u "$user"; }
	refresh_it() { mc refresh -q -u "$user"; }
	clean_it() { mc clean -q -u "$user"; }
	mc flush -q -u "$user" >/dev/null
	for round in $(seq "$ROUNDS"); do
		world_change
		tree_of "$here" >"$T/whole"
		both refresh_it flush_it
		# Refresh may have looked first: changed here only, which is no conflict.
		among $a 0
		among $b 0
		diff "$T/whole" <(tree_of "$here")
		both clean_it refresh_it
		among $a "0 75"
		among $b 0
		# Whole, or not there.
		[ -z "$(tree_of "$here")" ] || diff "$T/whole" <(tree_of "$here")
		mc refresh -q -u "$user" >/dev/null
		diff "$T/whole" <(tree_of "$here")
		no_leftovers
	done
}

@test "prune with flush, with refresh and with itself, on one backend: whole, or gone and in storage" {
	printf '\there\n%s\tthere\n' "$user" >"$T/map"
	flush_it() { mc flush -q -u "$user"; }
	refresh_it() { mc refresh -q -u "$user"; }
	prune_it() { mc prune -q --delete --older-than 0 -u "$user" -o "director=map:$T/map"; }
	gone=0
	for round in $(seq "$ROUNDS"); do
		world_change
		tree_of "$here" >"$T/whole"
		for other in flush_it prune_it refresh_it; do
			both prune_it "$other"
			among $a "0 67 75"
			among $b "0 66 67 75"
			# Whole, or not there.
			[ -z "$(tree_of "$here")" ] && gone=$((gone + 1)) || diff "$T/whole" <(tree_of "$here")
			mc refresh -q -u "$user" >/dev/null
			diff "$T/whole" <(tree_of "$here")
			no_leftovers
		done
	done
	[ "$gone" -gt 0 ]
}

@test "prune with a writer that appends as Dovecot does: what was written before the tree went is in storage" {
	printf '\there\n%s\tthere\n' "$user" >"$T/map"
	cat >"$T/writer.py" <<-'PY'
		import fcntl, random, sys, time
		n = 0
		try:
		    while n < 100000:
		        with open(sys.argv[1], "r+b", buffering=0) as log:
		            fcntl.lockf(log, fcntl.LOCK_EX)
		            log.seek(0, 2)
		            log.write(b"<%07d>" % n)
		            n += 1
		        time.sleep(random.choice([0, 0, 0, 0.05]))
		except FileNotFoundError:
		    print(n)
	PY
	gone=0
	for round in $(seq "$ROUNDS"); do
		: >"$home/dovecot.list.index.log"
		python3 "$T/writer.py" "$home/dovecot.list.index.log" >"$T/written" 3>&- &
		writer=$!
		for try in $(seq 500); do [ ! -s "$home/dovecot.list.index.log" ] || break; sleep 0.01; done
		for try in $(seq 200); do
			a=0
			mc prune -q --delete --older-than 0 -u "$user" -o "director=map:$T/map" >"$T/a" 2>&1 || a=$?
			: >"$T/b"
			among $a "0 75"
			[ -e "$home" ] || break
		done
		[ ! -e "$home" ] || { kill "$writer"; false; }
		wait "$writer"
		no_leftovers
		mc refresh -q -u "$user" >/dev/null
		[ "$(<"$T/written")" -gt 0 ]
		diff <(seq 0 $(($(<"$T/written") - 1)) | xargs printf '<%07d>') "$home/dovecot.list.index.log"
	done
}

@test "a sweep of .trash does not take what another builds there" {
	mc flush -q -u "$user" >/dev/null
	tree_of "$here" >"$T/whole"
	refresh_it() { mc refresh -q -u "$user"; }
	sweep_it() { mc flushall -q nobody@example.com && mc flushall -q nobody@example.com; }
	for round in $(seq "$ROUNDS"); do
		rm -rf "$home"
		# Something to sweep, as from a killed run.
		mkdir -p "$here/.trash/left$round/a/b"
		both refresh_it sweep_it
		among $a 0
		among $b 0
		diff "$T/whole" <(tree_of "$here")
		no_leftovers
	done
}

@test "a home swapped for a link to the outside: nothing there is read or changed" {
	mkdir -p "$T/outside/mailboxes"
	cp -a "$home/." "$T/outside/"
	find "$T/outside" -name 'dovecot*' -exec sh -c 'echo CANARY >"$1"' - {} \;
	outside() { (cd "$T/outside" && find . -type f -exec sha256sum {} + | sort && find . -printf '%p %m %T@ %l\n' | sort); }
	outside >"$T/canary"
	mc flush -q -u "$user" >/dev/null
	printf '\there\n%s\tthere\n' "$user" >"$T/map"
	echo "director = map:$T/map" >>"$WORLD/here/conf"
	cp -a "$home" "$T/spare"
	ln -s "$T/outside" "$T/link"
	cat >"$T/swap.py" <<-'PY'
		import ctypes, os, sys
		home, link, stop = sys.argv[1:]
		libc = ctypes.CDLL(None)
		swaps = 0
		real = os.open(home, os.O_DIRECTORY)
		while not os.path.exists(stop) and swaps < 3000000:
		    libc.renameat2(-100, home.encode(), -100, link.encode(), 2) # RENAME_EXCHANGE
		    swaps += 1
		    # Something to upload, in the real one, wherever it is by now.
		    if swaps % 5000 == 0:
		        try:
		            with os.fdopen(os.open("dovecot.list.index.log", os.O_WRONLY | os.O_APPEND, dir_fd=real), "wb") as log:
		                log.write(b"x")
		        except FileNotFoundError:
		            pass
	PY
	python3 "$T/swap.py" "$home" "$T/link" "$T/stop" 3>&- &
	loop=$!
	for round in $(seq "$ROUNDS"); do
		for command in flush refresh clean 'prune --delete --older-than 0'; do
			# shellcheck disable=SC2086
			timeout 30 "$BIN"/metacache-$command -q -c "$WORLD/here/conf" -u "$user" >"$T/a" 2>&1 || [ $? -lt 79 ]
		done
		# Cleaned for good: there is one to swap again.
		if [ ! -L "$home" ] && [ ! -e "$home" ]; then
			cp -aT "$T/spare" "$T/copy"
			mv -T --no-clobber "$T/copy" "$home" || true
			rm -rf "$T/copy"
		fi
	done
	stop_loop
	diff "$T/canary" <(outside)
	! find "$WORLD/store" -name 'bundle.*' -exec zstd -dcq {} \; 2>/dev/null | grep -aq CANARY
}
