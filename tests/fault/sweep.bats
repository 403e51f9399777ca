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

# Compared by content with what `prepare` noted.
here_is_whole() { diff <(tree_of "$WORLD/here/idx") "$T/whole"; }
stored_is_whole() { diff <(storage_of) "$T/whole"; }

# Every line of A is in one of the other files.
only_from() { ! grep -vxFf <(cat "${@:2}") "$1"; }
same_count() { [ "$(wc -l <"$1")" = "$(wc -l <"$2")" ]; }

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
		world_make "$W"
		mc flushall -q >/dev/null
		world_change
		mc flushall -q >/dev/null
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
		world_make "$W"
		mc flushall -q >/dev/null
		world_change
		mc flushall -q >/dev/null
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

@test "verify --repair, killed anywhere: nothing is lost, and the next one finishes" {
	prepare() {
		local base
		world_make "$W"
		mc flushall -q >/dev/null
		mkdir "$T/rows" && cp -a "$WORLD"/here/state/users.db* "$T/rows"
		world_change
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
		# A lost base, damaged blocks, an old registry.
		base=$(find "$WORLD/store" -path '*/mailboxes/*' -name 'bundle.*' ! -name '*-*' | head -1)
		rm "$base"*
		echo x >>"$(find "$WORLD/here/idx" -path '*.com/.state.blocks')"
		rm "$WORLD"/here/state/users.db*
		mv "$T"/rows/* "$WORLD/here/state" && rmdir "$T/rows"
		storage_of >"$T/stored"
	}
	promises() {
		here_is_whole && storage_of >"$T/now" && only_from "$T/now" "$T/whole" &&
			only_from "$T/stored" "$T/now"
	}
	finished() {
		here_is_whole && no_leftovers && storage_is_tidy && stored_is_whole &&
			"$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --deep >/dev/null
	}
	prepare
	sweep "$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --repair
}
