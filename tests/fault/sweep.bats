#!/usr/bin/env bats
# P1: any command may be killed at any instruction. Each is killed before and after
# every system call that changes something; nothing may be lost or torn then, and
# running it again must end where an undisturbed run ends.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	world_make "$BATS_TEST_TMPDIR/world"
}

# What is here stays whole, whatever happened: compared with $expected.
here_is_whole() { diff <(tree_of "$WORLD/here/idx") "$BATS_TEST_TMPDIR/expected-here"; }

@test "flushall of new trees, killed anywhere" {
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/expected-here"
	promises() { here_is_whole; }
	finished() {
		here_is_whole && no_leftovers && [ "$(bundles)" = "$(units)" ] &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	save "$WORLD"
	sweep "$BIN/metacache-flushall" -q -c "$WORLD/here/conf"
}

@test "flushall of changes, killed anywhere: storage has the old state or the new one" {
	mc flushall -q
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/old"
	world_change
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/expected-here"
	promises() {
		here_is_whole || return 1
		# Each file in storage is the old one or the new one.
		storage_of >"$BATS_TEST_TMPDIR/stored" || return 1
		! grep -vxFf <(cat "$BATS_TEST_TMPDIR/old" "$BATS_TEST_TMPDIR/expected-here") "$BATS_TEST_TMPDIR/stored" &&
			[ "$(wc -l <"$BATS_TEST_TMPDIR/stored")" = "$(wc -l <"$BATS_TEST_TMPDIR/old")" ]
	}
	finished() {
		here_is_whole && no_leftovers && [ "$(bundles)" = "$(units)" ] &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	save "$WORLD"
	sweep "$BIN/metacache-flushall" -q -c "$WORLD/here/conf"
}

@test "refresh of a missing home, killed anywhere: there is no home or a whole one" {
	local user=${USERS[0]}
	mc flushall -q
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/expected-here"
	rm -rf "$WORLD"/here/idx/*/"$user"
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/without"
	promises() {
		tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/now"
		cmp -s "$BATS_TEST_TMPDIR/now" "$BATS_TEST_TMPDIR/without" || here_is_whole
	}
	finished() { here_is_whole && no_leftovers; }
	save "$WORLD"
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "$user"
}

@test "refresh of an obsolete home, killed anywhere: nothing is lost, and the next refresh finishes" {
	local user=${USERS[0]}
	mc flushall -q
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/old"
	# Another backend goes on with it.
	storage_of >/dev/null
	mv "$WORLD/here" "$WORLD/kept"
	mv "$WORLD/there" "$WORLD/here"
	sed -i "s,$WORLD/there,$WORLD/here,; s,= there,= here," "$WORLD/here/conf"
	world_change
	mc flushall -q
	tree_of "$WORLD/here/idx" | grep "$user" >"$BATS_TEST_TMPDIR/new"
	rm -rf "$WORLD/here"
	mv "$WORLD/kept" "$WORLD/here"
	promises() {
		# Old files and new files, nothing else, and none missing.
		tree_of "$WORLD/here/idx" | grep "$user" >"$BATS_TEST_TMPDIR/now"
		! grep -vxFf <(cat "$BATS_TEST_TMPDIR/old" "$BATS_TEST_TMPDIR/new") "$BATS_TEST_TMPDIR/now" &&
			[ "$(wc -l <"$BATS_TEST_TMPDIR/now")" = "$(wc -l <"$BATS_TEST_TMPDIR/new")" ]
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx" | grep "$user") "$BATS_TEST_TMPDIR/new" && no_leftovers
	}
	save "$WORLD"
	sweep "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "$user"
}

@test "clean, killed anywhere: the tree is whole or gone, and storage has all of it" {
	local user=${USERS[0]}
	mc flushall -q
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/expected-here"
	grep -v "$user" "$BATS_TEST_TMPDIR/expected-here" >"$BATS_TEST_TMPDIR/without"
	promises() {
		tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/now"
		{ cmp -s "$BATS_TEST_TMPDIR/now" "$BATS_TEST_TMPDIR/without" || here_is_whole; } &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx") "$BATS_TEST_TMPDIR/without" && no_leftovers &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	save "$WORLD"
	# A second run finds nothing to clean, which is 67.
	clean_until_gone() {
		"$BIN/metacache-clean" -q -c "$WORLD/here/conf" -u "$user" || [ $? = 67 ]
	}
	export -f clean_until_gone
	export BIN WORLD user
	sweep bash -c clean_until_gone
}

@test "clean of folders only, killed anywhere" {
	local user=${USERS[0]}
	mc flushall -q
	tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/expected-here"
	grep -v "$user/mailboxes" "$BATS_TEST_TMPDIR/expected-here" >"$BATS_TEST_TMPDIR/without"
	promises() {
		tree_of "$WORLD/here/idx" >"$BATS_TEST_TMPDIR/now"
		! grep -vxFf "$BATS_TEST_TMPDIR/expected-here" "$BATS_TEST_TMPDIR/now" &&
			! grep -vxFf "$BATS_TEST_TMPDIR/now" "$BATS_TEST_TMPDIR/without" &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx") "$BATS_TEST_TMPDIR/without" && no_leftovers &&
			diff <(storage_of) "$BATS_TEST_TMPDIR/expected-here"
	}
	save "$WORLD"
	sweep "$BIN/metacache-clean" -q -c "$WORLD/here/conf" -p 2 -u "$user"
}

@test "rescan, killed anywhere: the next one has the registry right" {
	mc flushall -q
	mc list -f json >"$BATS_TEST_TMPDIR/list"
	rm -f "$WORLD"/here/state/users.db*
	promises() { true; }
	finished() {
		diff <(mc list -f json) "$BATS_TEST_TMPDIR/list"
	}
	save "$WORLD"
	sweep "$BIN/metacache-rescan" -q -c "$WORLD/here/conf"
}
