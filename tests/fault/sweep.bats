#!/usr/bin/env bats
# P1: any command may be killed at any instruction. Each is killed before and after
# every system call that changes something; nothing may be lost or torn then, and
# running it again must end where an undisturbed run ends.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	W=$BATS_TEST_TMPDIR/world
	T=$BATS_TEST_TMPDIR
}
teardown() { [ -z "${standin:-}" ] || kill "$standin"; }

@test "flushall of new trees, killed anywhere" {
	prepare() {
		world_make "$W"
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	promises() { here_is_whole; }
	finished() {
		here_is_whole && no_leftovers && storage_is_tidy && stored_is_whole
	}
	prepare
	sweep "$BIN/metacache-flushall" -q -c "$WORLD/here/conf"
}

@test "flushall of changes, killed anywhere: a diff stands in for another, storage has the old state or the new one" {
	prepare() {
		world_with_diffs "$W"
		tree_of "$WORLD/here/idx" >"$T/old"
		world_change
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	promises() {
		here_is_whole && storage_of >"$T/stored" &&
			only_from "$T/stored" "$T/old" "$T/whole" && same_count "$T/stored" "$T/old"
	}
	finished() { here_is_whole && no_leftovers && storage_is_tidy && stored_is_whole; }
	prepare
	sweep "$BIN/metacache-flushall" -q -c "$WORLD/here/conf"
}

@test "refresh of a missing home from bases and diffs, killed anywhere: there is no home or a whole one" {
	prepare() {
		world_with_diffs "$W"
		tree_of "$WORLD/here/idx" >"$T/whole"
		rm -rf "$WORLD"/here/idx/??/*
	}
	promises() { [ -z "$(tree_of "$WORLD/here/idx")" ] || here_is_whole; }
	finished() { here_is_whole && no_leftovers; }
	prepare
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

@test "refresh of an obsolete home, killed anywhere: nothing is lost, and the next refresh finishes" {
	# Another backend goes on with what this one flushed.
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/old"
		storage_of >/dev/null
		world_change there
		"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
		tree_of "$WORLD/there/idx" >"$T/whole"
	}
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		only_from "$T/now" "$T/old" "$T/whole" && same_count "$T/now" "$T/whole"
	}
	finished() { here_is_whole && no_leftovers; }
	prepare
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

# Folders whose logs can be read, all in storage; another backend goes on with them, and what changes
# here can be made again.
obsolete_world() {
	local folder
	world_make "$W"
	for folder in "$WORLD"/here/idx/??/*/mailboxes/*; do
		cp "$PROJECT_DIR"/tests/cli/index/dovecot.index* "$folder"
	done
	mc flushall -q >/dev/null
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
	tree_of "$WORLD/there/idx" >"$T/theirs"
	for folder in "$WORLD"/here/idx/??/*/mailboxes/*; do
		echo cached >>"$folder/dovecot.index.cache"
	done
	mc rescan -q >/dev/null
	tree_of "$WORLD/here/idx" >"$T/whole"
	[ "$(mc list -f tab --no-header --field changes,obsolete)" = $'unimportant\t0' ]
}

@test "flushall of obsolete folders, killed anywhere: nothing is written, and each is marked" {
	prepare() { obsolete_world; }
	promises() { here_is_whole && diff <(storage_of) "$T/theirs"; }
	finished() {
		here_is_whole && no_leftovers && diff <(storage_of) "$T/theirs" &&
			[ "$(mc list -f tab --no-header --field changes,conflicts,obsolete)" = $'unimportant\t0\t2' ] &&
			mc rescan -q -f json | jq -e '.rescans[0].corrected == 0' >/dev/null
	}
	prepare
	sweep "$BIN/metacache-flushall" -q -c "$WORLD/here/conf"
}

@test "refresh of obsolete folders with changes that can be made again, killed anywhere" {
	prepare() { obsolete_world; }
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		only_from "$T/now" "$T/whole" "$T/theirs" && same_count "$T/now" "$T/theirs"
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx") "$T/theirs" &&
			[ "$(mc list -f tab --no-header --field changes,conflicts,obsolete)" = $'none\t0\t0' ]
	}
	prepare
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

flushall_or_conflict() { "$BIN/metacache-flushall" -q -c "$WORLD/here/conf" || [ $? = 65 ]; }

@test "flushall of a new base while another backend puts a diff on the old one, killed anywhere: the diff and its base stay" {
	local log
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		storage_of >/dev/null
		# Their listing has not our new base yet, and what they put lands now.
		world_change there
		cp -a "$WORLD/store" "$T/aside"
		"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" -o "obox_index_fs=posix:$T/aside" >/dev/null
		for log in $(find "$WORLD/here/idx" -name '*.index.log'); do
			head -c 9000 /dev/urandom >>"$log"
		done
		mc flushall -q >/dev/null
		(cd "$T/aside" && find . -name 'bundle.*' | sort) >"$T/theirs"
		cp -an "$T/aside/." "$WORLD/store/"
		rm -r "$T/aside"
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	# Bases and diffs.
	promises() {
		here_is_whole &&
			[ -z "$(cd "$WORLD/store" && find . -name 'bundle.*' | sort | comm -13 - "$T/theirs")" ]
	}
	finished() {
		promises && [ "$(mc list -f tab --no-header --field conflicts)" = 3 ]
	}
	prepare
	grep -q -- - "$T/theirs"
	export -f flushall_or_conflict
	export BIN WORLD
	sweep bash -c flushall_or_conflict
}

refresh_or_conflict() { "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" "$@" || [ $? = 65 ]; }

@test "refresh of an obsolete home, killed anywhere while a session writes: what it wrote is kept" {
	local mark=a-flag-that-a-session-set
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		storage_of >/dev/null
		world_change there
		"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
		log=$(echo "$WORLD"/here/idx/??/*/dovecot.list.index.log)
		old=$(stat -c %i "$log")
		: >"$T/written"
	}
	# Into the log that it has open, until nobody can have that any more, and into the one that it
	# would open.
	promises() {
		local file
		while read -r file; do
			echo "$mark" >>"$file"
			echo . >>"$T/written"
		done < <(find "$WORLD/here/idx" \( -path '*/swap-*' -inum "$old" -o -samefile "$log" \))
	}
	finished() {
		[ "$(grep -rFl "$mark" "$WORLD/here/idx" | wc -l)" = "$(wc -l <"$T/written")" ] || {
			grep -rFl "$mark" "$WORLD/here/idx"
			return 1
		}
	}
	prepare
	export -f refresh_or_conflict
	export BIN WORLD
	sweep bash -c 'refresh_or_conflict -u "$1"' refresh "${USERS[0]}"
}

# A second run finds nothing to clean, which is 67.
clean_until_gone() { "$BIN/metacache-clean" -q -c "$WORLD/here/conf" "$@" || [ $? = 67 ]; }

@test "clean, killed anywhere: the tree is whole or gone, and storage has all of it" {
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	promises() {
		{ [ -z "$(tree_of "$WORLD/here/idx")" ] || here_is_whole; } && stored_is_whole
	}
	finished() { [ -z "$(tree_of "$WORLD/here/idx")" ] && no_leftovers && stored_is_whole; }
	prepare
	export -f clean_until_gone
	export BIN WORLD
	sweep bash -c 'clean_until_gone -u "$1"' clean "${USERS[0]}"
}

@test "clean of folders only, killed anywhere" {
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
		grep -v /mailboxes/ "$T/whole" >"$T/root"
	}
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		only_from "$T/now" "$T/whole" && only_from "$T/root" "$T/now" && stored_is_whole
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx") "$T/root" && no_leftovers && stored_is_whole &&
			# Cleaned is not deleted: a flush does not tell others that the folders are gone.
			mc flushall -q >/dev/null && stored_is_whole
	}
	prepare
	sweep "$BIN/metacache-clean" -q -c "$WORLD/here/conf" -p 2 -u "${USERS[0]}"
}

@test "clean to a limit, with a flush first, killed anywhere" {
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		world_change
		mc rescan -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		storage_of >"$T/stored" || return
		# Whatever is not here any more is in storage as it was.
		only_from "$T/now" "$T/whole" && only_from "$T/whole" "$T/now" "$T/stored"
	}
	finished() { [ -z "$(tree_of "$WORLD/here/idx")" ] && no_leftovers && stored_is_whole; }
	prepare
	sweep "$BIN/metacache-clean" -q -c "$WORLD/here/conf" -A --max-space -o metacache_max_space=1B
}

# Every user belongs to another backend, however short he has been away.
prune_all_old() {
	printf '\there\n%s\tthere\n' "${USERS[0]}" >"$T/map"
	sweep "$BIN/metacache-prune" -q -c "$WORLD/here/conf" --delete --older-than 0 -A -o "director=map:$T/map" "$@"
}
here_is_gone_or_whole() { [ -z "$(tree_of "$WORLD/here/idx")" ] || here_is_whole; }
# Uploads only add.
stored_is_kept() { [ -z "$(comm -23 "$T/objects" <(find "$WORLD/store" -type f | sort))" ]; }
note_stored() { find "$WORLD/store" -type f | sort >"$T/objects"; }

@test "prune of what only this backend has, killed anywhere: the tree is whole, or gone and in storage" {
	prepare() {
		world_make "$W"
		mc flushall -q >/dev/null
		world_change
		tree_of "$WORLD/here/idx" >"$T/whole"
		note_stored
	}
	promises() {
		here_is_gone_or_whole && stored_is_kept || return
		storage_of >"$T/stored" || return
		[ -n "$(tree_of "$WORLD/here/idx")" ] || diff "$T/stored" "$T/whole"
	}
	finished() {
		[ -z "$(tree_of "$WORLD/here/idx")" ] && no_leftovers && stored_is_whole && stored_is_kept
	}
	prepare
	prune_all_old
}

# Another backend goes on with what this one flushed; search indexes change here.
obsolete_here() {
	world_make "$W"
	mkdir "$(echo "$WORLD"/here/idx/??/*@*)/fts-flatcurve"
	echo words >"$(echo "$WORLD"/here/idx/??/*@*)/fts-flatcurve/x"
	mc flushall -q >/dev/null
	storage_of >/dev/null
	world_change there
	echo theirs >>"$(echo "$WORLD"/there/idx/??/*@*/fts-flatcurve/x)"
	"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
	tree_of "$WORLD/there/idx" >"$T/stored"
	echo ours >>"$(echo "$WORLD"/here/idx/??/*@*/fts-flatcurve/x)"
}
stored_is_as_it_was() { stored_is_kept && diff <(storage_of) "$T/stored"; }

@test "prune of an obsolete home, killed anywhere" {
	prepare() {
		obsolete_here
		tree_of "$WORLD/here/idx" >"$T/whole"
		note_stored
	}
	promises() { here_is_gone_or_whole && stored_is_as_it_was; }
	finished() { [ -z "$(tree_of "$WORLD/here/idx")" ] && no_leftovers && stored_is_as_it_was; }
	prepare
	prune_all_old
}

@test "prune --discard-important, killed anywhere: the tree is whole or gone; cut short, it is kept in .trash" {
	prepare() {
		obsolete_here
		world_change
		tree_of "$WORLD/here/idx" >"$T/whole"
		note_stored
	}
	promises() { here_is_gone_or_whole && stored_is_as_it_was; }
	finished() {
		[ -z "$(tree_of "$WORLD/here/idx")" ] && stored_is_as_it_was &&
			[ -z "$(find "$WORLD"/here/idx/.trash -mindepth 1 -maxdepth 1 ! -name spare ! -name 'kept-*')" ] || return
		# Nobody has looked at it twice, so it is there, whole.
		kept=$(echo "$WORLD"/here/idx/.trash/kept-*)
		[ ! -e "$kept" ] ||
			diff <(tree_of "$kept") <(sed "s#\./../${USERS[0]}/#./#" "$T/whole")
	}
	prepare
	prune_all_old --discard-important
}

@test "rescan, killed anywhere: the next one has the registry right" {
	prepare() {
		world_make "$W" 3
		mc flushall -q >/dev/null
		mc list -f json --field username --field changes --field 'bytes-used(3)' >"$T/list"
		rm -f "$WORLD"/here/state/users.db*
	}
	promises() { true; }
	finished() {
		diff <(mc list -f json --field username --field changes --field 'bytes-used(3)') "$T/list"
	}
	prepare
	sweep "$BIN/metacache-rescan" -q -c "$WORLD/here/conf"
}

@test "remove, killed anywhere: a user is registered or not, and no file is touched" {
	prepare() {
		world_make "$W" 3
		tree_of "$WORLD/here/idx" >"$T/whole"
		sqlite3 "$WORLD/here/state/users.db" "INSERT INTO aliases SELECT username, 'user_id', 'x' FROM users"
	}
	# Those that are gone have to be there again for the next run to find them.
	promises() { here_is_whole && mc list -f json >/dev/null && mc rescan -q >/dev/null; }
	finished() { here_is_whole && [ "$(mc list | wc -l)" = 1 ]; }
	prepare
	sweep "$BIN/metacache-remove" -q -c "$WORLD/here/conf" '*'
}

@test "update-userdb, killed anywhere: a user has the old names or the new ones" {
	rules=$T/rules
	: >"$rules"
	"$PROJECT_DIR/tests/cli/doveadm-standin" "$rules" >"$T/url" 3>&- &
	standin=$!
	for _ in $(seq 500); do [ ! -s "$T/url" ] || break; sleep 0.02; done
	names() { sqlite3 "$WORLD/here/state/users.db" "SELECT username, group_concat(field || value) FROM aliases GROUP BY 1"; }
	prepare() {
		world_make "$W" 3
		printf 'doveadm_url = %s\ndoveadm_api_key = x\n' "$(<"$T/url")" >>"$WORLD/here/conf"
		sqlite3 "$WORLD/here/state/users.db" "INSERT INTO aliases SELECT username, 'user_a', 'old' FROM users;
			INSERT INTO aliases SELECT username, 'user_b', 'old' FROM users"
		printf '%s\t{"user_a":"new","user_c":"new"}\n' "${USERS[@]}" >"$rules"
	}
	promises() { ! names | grep -vE '\|(user_aold,user_bold|user_anew,user_cnew)$'; }
	finished() { [ "$(names | grep -c '|user_anew,user_cnew$')" = 3 ]; }
	prepare
	sweep "$BIN/metacache-update-userdb" -q -c "$WORLD/here/conf"
}

@test "status --output, killed anywhere: the file is the old one or the new one" {
	prepare() {
		world_make "$W"
		echo old >"$T/m.prom"
	}
	promises() { [ "$(<"$T/m.prom")" = old ] || promtool check metrics <"$T/m.prom"; }
	finished() { [ "$(<"$T/m.prom")" != old ] && promtool check metrics <"$T/m.prom"; }
	prepare
	sweep "$BIN/metacache-status" -q -c "$WORLD/here/conf" -f prometheus --output "$T/m.prom"
}

@test "boot start and stop, killed anywhere: the file is the old one or the new one" {
	reboots() { sed 's/ .* / /' "$WORLD/here/state/reboots" 2>/dev/null | sed -n '2,$p'; }
	prepare() {
		world_make "$W"
		other_boot 'mc boot start'
		reboots >"$T/old"
	}
	promises() {
		[ "$(head -1 "$WORLD/here/state/reboots")" = 'metacache-tools reboots 1' ] &&
			diff <(reboots | head -1) "$T/old" && [ "$(reboots | wc -l)" -le 2 ]
	}
	finished() { promises && [ "$(reboots | wc -l)" = 2 ] && mc boot status >/dev/null; }
	prepare
	sweep "$BIN/metacache-boot" -q -c "$WORLD/here/conf" start
	marked() { mc boot status -f json | jq -r '.boots[1].clean | type'; }
	prepare() {
		world_make "$W"
		other_boot 'mc boot start'
		mc boot start -q >/dev/null
		reboots >"$T/old"
	}
	promises() { diff <(reboots) "$T/old" && [[ "$(marked)" =~ ^(null|number)$ ]]; }
	finished() { promises && [ "$(marked)" = number ]; }
	sweep "$BIN/metacache-boot" -q -c "$WORLD/here/conf" stop
}

# Nothing that changed before the crash is lost before or after it is given up.
changes_are_somewhere() {
	! sed 's/ .*//' "$T/changed" |
		grep -vxFf <(find "$WORLD/here/idx" -type f -exec sha256sum {} + | sed 's/ .*//')
}
only_kept_ones() {
	[ -z "$(find "$WORLD/here/idx/.trash" -mindepth 1 -maxdepth 1 ! -name spare ! -name 'kept-*')" ] && changes_are_somewhere
}
crashed_world() {
	world_make "$W"
	world_crash
	storage_of >"$T/stored"
	tree_of "$WORLD/here/idx" >"$T/changed"
}

@test "refresh of what a crash left, killed anywhere: each unit is the old one or storage's, and no change is lost" {
	prepare() { crashed_world; }
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		only_from "$T/now" "$T/changed" "$T/stored" && same_count "$T/now" "$T/stored" && changes_are_somewhere
	}
	finished() { diff <(tree_of "$WORLD/here/idx") "$T/stored" && only_kept_ones; }
	prepare
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

@test "rescan after a crash, killed anywhere: the home is there or gone, and no change is lost" {
	prepare() { crashed_world; }
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		{ [ ! -s "$T/now" ] || diff "$T/now" "$T/changed"; } && changes_are_somewhere
	}
	finished() { [ -z "$(tree_of "$WORLD/here/idx")" ] && only_kept_ones && [ "$(mc list | wc -l)" = 1 ]; }
	prepare
	sweep "$BIN/metacache-rescan" -q -c "$WORLD/here/conf"
}

@test "the end of drain, killed anywhere: what is marked clean is uploaded" {
	prepare() {
		world_make "$W"
		mc boot start -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	state() { mc boot status -f json | jq -r '.boots[0].state'; }
	promises() { here_is_whole && { [ "$(state)" = running ] || stored_is_whole; }; }
	finished() { here_is_whole && stored_is_whole && [ "$(state)" = stopped ] && no_leftovers; }
	prepare
	sweep "$BIN/metacache-drain" -q -c "$WORLD/here/conf" --from flush-3
}
