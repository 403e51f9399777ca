#!/usr/bin/env bats
# verify --repair, killed before and after every system call that changes something, and over a store
# that fails: no bundle that may be the last of a unit is deleted, nothing here is lost, and the next
# run finishes.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	W=$BATS_TEST_TMPDIR/world
	T=$BATS_TEST_TMPDIR
}

@test "killed anywhere: a lost base, damaged blocks, an old registry" {
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

# Of each unit a base and a diff in storage: the state of $T/old, and its bundles in $T/before.
with_diffs() {
	world_with_diffs "$W"
	tree_of "$WORLD/here/idx" >"$T/old"
	rm -rf "$T/before"
	cp -a "$WORLD/store" "$T/before"
	folder=$(find "$WORLD/here/idx" -path '*/mailboxes/*' -name dovecot.index.log -printf '%h\n' | sort | head -1)
	stored=$(find "$WORLD/store" -path "*/mailboxes/${folder##*/}/idx")
}
# world_grow BACKEND: so much in the folder that its next bundle is a base.
world_grow() { head -c 60000 /dev/urandom >>"$WORLD/$1/${folder#"$WORLD/here/"}/dovecot.index.log"; }
# All goes on, and nothing that was superseded could be deleted.
with_superseded() {
	with_diffs
	world_change
	world_grow here
	mc flushall -q >/dev/null
	cp -an "$T/before/." "$WORLD/store"
	tree_of "$WORLD/here/idx" >"$T/whole"
	new=$(find "$stored" -name 'bundle.*' -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
}
# Behind the manifest, which can still be read.
spoil_end() {
	printf 'not what was there' |
		dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 2000)) conv=notrunc status=none
}
# Every unit can be had from storage, at least as it was, once an operator has taken out what can't
# be taken.
nothing_is_lost() {
	local file ret=0
	mkdir "$T/aside"
	for file in "$new" "${no_diff:-}"; do
		[ ! -e "$file" ] || mv "$file" "$T/aside"
	done
	storage_of >"$T/now" && same_count "$T/now" "$T/old" && only_from "$T/now" "$T/old" "$T/whole" || ret=1
	for file in "$new" "${no_diff:-}"; do
		[ ! -e "$T/aside/${file##*/}" ] || [ -z "$file" ] || mv "$T/aside/${file##*/}" "$file"
	done
	rmdir "$T/aside" && return $ret
}

damaged_here() {
	prepare() {
		local base
		with_superseded
		base=$(find "$WORLD/store" -path '*/mailboxes/*' ! -path "$stored/*" -name 'bundle.*' ! -name '*-*')
		no_diff=${base%/*}/bundle.1.00000.0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef
		cp "$base" "$no_diff"
		spoil_end "$new"
	}
	promises() { here_is_whole && nothing_is_lost; }
	finished() {
		# An upload that nobody noted is noted by the next one; a base goes with the one after it.
		mc flushall -q >/dev/null && mc flushall -q >/dev/null &&
			here_is_whole && no_leftovers && storage_is_tidy && stored_is_whole &&
			"$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --deep >/dev/null
	}
}

@test "killed anywhere: superseded bundles, orphans, a damaged bundle: what can be read last stays" {
	damaged_here
	prepare
	sweep "$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --repair
}

damaged_elsewhere() {
	prepare() {
		with_superseded
		mc clean -q -p 2 -u "${USERS[0]}" >/dev/null
		mc rescan -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/root"
		spoil_end "$new"
	}
	promises() { diff <(tree_of "$WORLD/here/idx") "$T/root" && nothing_is_lost; }
	finished() {
		promises && no_leftovers && [ -e "$new" ] &&
			diff <(cd "$stored" && find . ! -name "${new##*/}" | sort) \
				<(cd "$T/before/${stored#"$WORLD/store/"}" && find . | sort) &&
			[ "$(find "$WORLD/store" -name 'bundle.*' ! -path "$stored/*" | wc -l)" -le 4 ]
	}
}

@test "killed anywhere: the same of folders that are not here: the damaged one's predecessors stay" {
	damaged_elsewhere
	prepare
	sweep sh -c '"$@"; [ $? = 65 ]' - "$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --repair --deep
}

@test "killed anywhere: obsolete units, with superseded bundles: each is the old one or storage's" {
	prepare() {
		with_diffs
		storage_of >/dev/null
		world_change there
		world_grow there
		"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
		cp -an "$T/before/." "$WORLD/store"
		tree_of "$WORLD/there/idx" >"$T/whole"
	}
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now" && same_count "$T/now" "$T/old" &&
			only_from "$T/now" "$T/old" "$T/whole" && stored_is_whole
	}
	finished() {
		# What this tree was made of is superseded only when it is not any more.
		"$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --repair >/dev/null &&
			here_is_whole && no_leftovers && storage_is_tidy && stored_is_whole &&
			"$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --deep >/dev/null
	}
	prepare
	sweep sh -c '"$@" || [ $? = 65 ]' - "$BIN/metacache-verify" -q -c "$WORLD/here/conf" -A --repair
}

# with_fault RULE: a repair over a store that has it; whatever it says, nothing is lost by it.
with_fault() {
	prepare
	mc verify -q -A --repair -o "obox_index_fs=fault:$1:posix:$WORLD/store" >"$T/out" 2>"$T/err" || true
	promises && return
	echo "$1: promise broken"
	cat "$T/out" "$T/err"
	return 1
}
FAULTS='put@*=fail put@*=lost put@1=lost put@*=denied delete@*=fail delete@*=partial delete@*=lost list@2=fail
	list@3=fail list@3=truncate list@4=fail get@*=fail get@*=corrupt get@*=short'

@test "a store that fails: what can be read last stays, and the next repair finishes" {
	local rule
	damaged_here
	for rule in $FAULTS get@{1..9}=corrupt get@{3..9}=fail; do
		with_fault "$rule"
		mc verify -q -A --repair >"$T/out" && finished || {
			echo "$rule: not finished"
			cat "$T/out"
			return 1
		}
	done
}

@test "a store that fails, and folders that are not here" {
	local rule
	damaged_elsewhere
	for rule in $FAULTS get@{1..9}=corrupt get@{3..9}=fail; do
		with_fault "$rule"
		run -65 mc verify -q -A --repair
		finished || {
			echo "$rule: not finished"
			return 1
		}
	done
}
