#!/usr/bin/env bats
# A full disk: clean works on it (P7), and what needs space says so in one line, leaves nothing
# torn, and finishes when there is space again.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	T=$BATS_TEST_TMPDIR
	mounted=
}

teardown() {
	# By its path, which is this test's own.
	[ -z "$mounted" ] || umount "$mounted"
}

# mount_small TYPE: 8 MiB at $T/disk. The store stays elsewhere.
mount_small() {
	mkdir -p "$T/disk" "$T/store"
	if [ "$1" = tmpfs ]; then
		mount -t tmpfs -o size=8m,mode=755 none "$T/disk" || skip 'needs the right to mount'
	else
		truncate -s 8M "$T/image"
		mkfs.ext4 -q -m 0 "$T/image" || skip 'needs e2fsprogs'
		mount -o loop "$T/image" "$T/disk" 2>"$T/mount" || skip "no loop mounts: $(head -1 "$T/mount")"
	fi
	mounted=$T/disk
	STORE=posix:$T/store
}

# To the last byte, and the last inode's worth of small files.
fill() {
	local size
	for size in 65536 4096 1; do
		dd if=/dev/zero of="$T/disk/fill.$size" bs=$size count=9000 2>/dev/null || true
	done
	! printf x 2>/dev/null >"$T/disk/one.more" || [ ! -s "$T/disk/one.more" ]
}

free_bytes() { stat -f -c '%a * %S' "$T/disk" | { read -r sum; echo $((sum)); }; }

clean_on_full() {
	local before status=0
	mount_small "$1"
	world_make "$T/disk/world" 3
	mc flushall -q >/dev/null
	tree_of "$WORLD/here/idx" >"$T/whole"
	fill
	before=$(free_bytes)
	[ "$before" = 0 ]
	for user in "${USERS[@]}"; do
		mc clean -q -u "$user" >"$T/out" 2>"$T/err" || { cat "$T/err"; return 1; }
		[ "$(free_bytes)" -gt 0 ]
		# Full again for the next one.
		dd if=/dev/zero of="$T/disk/fill.$user" bs=1024 2>/dev/null || true
	done
	[ -z "$(tree_of "$WORLD/here/idx")" ]
	no_leftovers
	rm "$T/disk"/fill.*
	for user in "${USERS[@]}"; do mc refresh -q -u "$user" >/dev/null; done
	diff "$T/whole" <(tree_of "$WORLD/here/idx")
}

@test "clean on a tmpfs without a free byte" { clean_on_full tmpfs; }

@test "clean on an ext4 without a free byte" {
	# There a new directory needs a block, and the entry in .trash is one.
	clean_on_full ext4
}

# Nobody can be cleaned before something is written down of what was uploaded.
limit_on_full() {
	mount_small "$1"
	world_make "$T/disk/world" 3
	# The registry is elsewhere: SQLite can't do without space.
	mv "$WORLD/here/state" "$T/state"
	sed -i "s#^state_dir = .*#state_dir = $T/state#" "$WORLD/here/conf"
	mc flushall -q >/dev/null
	world_change
	[ "$2" = unknown ] || mc rescan -q >/dev/null
	tree_of "$WORLD/here/idx" >"$T/whole"
	fill
	[ "$(free_bytes)" = 0 ]
	mc clean -A --max-space -q -o metacache_max_space=1B -f json >"$T/out" 2>"$T/err" || { cat "$T/err"; return 1; }
	[ ! -s "$T/err" ]
	[ "$(jq -c '.summary | [.after, .users, .passed]' "$T/out")" = '[0,3,0]' ]
	[ -z "$(tree_of "$WORLD/here/idx")" ]
	no_leftovers
	rm "$T/disk"/fill.*
	# For the next time.
	[ "$(stat -c %s "$WORLD/here/idx/.trash/spare/reserve")" = 65536 ]
	diff "$T/whole" <(storage_of)
}

@test "clean to a limit on a tmpfs without a free byte, all changed" { limit_on_full tmpfs known; }

@test "clean to a limit on an ext4 without a free byte, all changed" { limit_on_full ext4 known; }

@test "the same where the registry does not know of the changes" { limit_on_full tmpfs unknown; }

@test "clean to a limit without space and without a reserve: what there was no space for is said" {
	mount_small tmpfs
	world_make "$T/disk/world"
	mc flushall -q >/dev/null
	world_change
	mc rescan -q >/dev/null
	tree_of "$WORLD/here/idx" >"$T/whole"
	mv "$WORLD/here/state" "$T/state"
	sed -i "s#^state_dir = .*#state_dir = $T/state#" "$WORLD/here/conf"
	rm -f "$WORLD/here/idx/.trash/spare/reserve"
	fill
	run -75 mc clean -A --max-space -q -o metacache_max_space=1B
	[[ "$output" == *".state"*"No space left on device"* ]]
	diff "$T/whole" <(tree_of "$WORLD/here/idx")
}

clean_folders_on_full() {
	mount_small "$1"
	world_make "$T/disk/world"
	mc flushall -q >/dev/null
	tree_of "$WORLD/here/idx" >"$T/whole"
	fill
	[ "$(free_bytes)" = 0 ]
	mc clean -q -p 2 -u "${USERS[0]}"
	[ -z "$(tree_of "$WORLD/here/idx" | grep /mailboxes/)" ]
	[ -z "$(find "$WORLD/here/idx" -path '*/mailboxes/*')" ]
	no_leftovers
	rm "$T/disk"/fill.*
	# Cleaned, not deleted: the next flush says nothing of that kind.
	mc flushall -q >/dev/null
	mc refresh -q -u "${USERS[0]}" >/dev/null
	diff "$T/whole" <(tree_of "$WORLD/here/idx")
}

@test "clean of folders only, on a tmpfs without a free byte" { clean_folders_on_full tmpfs; }

@test "clean of folders only, on an ext4 without a free byte" { clean_folders_on_full ext4; }

# Each user has something else: nothing, search indexes that are behind, flags that only this
# backend has.
prune_on_full() {
	local there
	mount_small "$1"
	world_make "$T/disk/world" 3
	mv "$WORLD/here/state" "$T/state"
	sed -i "s#^state_dir = .*#state_dir = $T/state#" "$WORLD/here/conf"
	{ printf '\there\n' && printf '%s\tthere\n' "${USERS[@]}"; } >"$T/map"
	echo "director = map:$T/map" >>"$WORLD/here/conf"
	mkdir "$(echo "$WORLD"/here/idx/??/"${USERS[1]}")/fts-flatcurve"
	echo words >"$(echo "$WORLD"/here/idx/??/"${USERS[1]}")/fts-flatcurve/x"
	mc flushall -q >/dev/null
	storage_of >/dev/null
	there=$(echo "$WORLD"/there/idx/??/"${USERS[1]}")
	echo theirs >>"$there/fts-flatcurve/x"
	"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
	rm -rf "$WORLD/there"
	echo ours >>"$(echo "$WORLD"/here/idx/??/"${USERS[1]}")/fts-flatcurve/x"
	for log in "$WORLD"/here/idx/??/"${USERS[2]}"/mailboxes/*/dovecot.index.log; do echo changed >>"$log"; done
	tree_of "$WORLD/here/idx" | grep -v "${USERS[1]}" >"$T/whole"
	fill
	for user in "${USERS[@]}"; do
		[ "$(free_bytes)" = 0 ]
		mc prune -q --delete --older-than 0 -u "$user" -f json >"$T/out" 2>"$T/err" || { cat "$T/err"; return 1; }
		[ "$(jq -c '.users[0].deleted' "$T/out")" = true ]
		jq -r '.users[0].reason' "$T/out" >>"$T/reasons"
		# Full again for the next one, but for what .trash keeps.
		dd if=/dev/zero of="$T/disk/fill.$user" bs=1024 2>/dev/null || true
	done
	[ "$(paste -sd' ' "$T/reasons")" = 'unchanged obsolete flushed' ]
	[ -z "$(tree_of "$WORLD/here/idx")" ]
	no_leftovers
	rm "$T/disk"/fill.*
	[ "$(stat -c %s "$WORLD/here/idx/.trash/spare/reserve")" = 65536 ]
	diff "$T/whole" <(storage_of | grep -v "${USERS[1]}")
}

@test "prune on a tmpfs without a free byte" { prune_on_full tmpfs; }

@test "prune on an ext4 without a free byte" { prune_on_full ext4; }

@test "prune of all users, with the state directory on the full disk, too" {
	mount_small tmpfs
	world_make "$T/disk/world" 3
	{ printf '\there\n' && printf '%s\tthere\n' "${USERS[@]}"; } >"$T/map"
	echo "director = map:$T/map" >>"$WORLD/here/conf"
	# No job that is for all users has run so far.
	for user in "${USERS[@]}"; do mc flush -q -u "$user" >/dev/null; done
	fill
	[ "$(free_bytes)" = 0 ]
	mc prune -q --delete --older-than 0 -A -f json >"$T/out" 2>"$T/err" || { cat "$T/err"; return 1; }
	[ "$(jq .summary.deleted "$T/out")" = 3 ]
	[ -z "$(tree_of "$WORLD/here/idx")" ]
}

@test "flush and refresh on a disk without a free byte" {
	mount_small tmpfs
	world_make "$T/disk/world"
	mc flushall -q >/dev/null
	world_change
	tree_of "$WORLD/here/idx" >"$T/whole"
	fill
	run mc flush -q -u "${USERS[0]}"
	[[ " 73 74 75 " == *" $status "* ]]
	[ "$(grep -c '^metacache-flush: ' <<<"$output")" = 1 ]
	diff "$T/whole" <(tree_of "$WORLD/here/idx")
	rm "$T/disk"/fill.*
	mc flush -q -u "${USERS[0]}" >/dev/null
	[ "$(find "$T/store" -name "bundle.*" ! -name "*-*" | wc -l)" = "$(units)" ]
	rm -rf "$WORLD"/here/idx/??/*
	fill
	run mc refresh -q -u "${USERS[0]}"
	[[ " 73 74 75 " == *" $status "* ]]
	[ "$(grep -c '^metacache-refresh: ' <<<"$output")" = 1 ]
	[ -z "$(tree_of "$WORLD/here/idx")" ]
	rm "$T/disk"/fill.*
	mc refresh -q -u "${USERS[0]}" >/dev/null
	diff "$T/whole" <(tree_of "$WORLD/here/idx")
}

# full_anywhere COMMAND…: without space at one of the calls that may need some, or from it on.
# Every FAULT_STEP-th call (1 for all, which takes minutes).
full_anywhere() {
	local step=${FAULT_STEP:-9}
	full_at at "$step" "$@" && full_at from $((step * 2)) "$@"
}

full_at() {
	local how=$1 step=$2 calls n status
	shift 2
	prepare
	calls=$("$KILLAT" count --only grow --output "$T/calls" "$@" 2>/dev/null)
	[ "$calls" -gt 2 ]
	for n in $(seq 1 "$step" "$calls"); do
		prepare
		status=0
		if [ "$how" = from ]; then set_to=(--fail-from "$n"); else set_to=("$n"); fi
		# Through a pipe: a write to a file would be one of those that fail.
		set +e
		"$KILLAT" fail "${set_to[@]}" --errno ENOSPC --only grow --output "$T/failed" \
			"$@" 2>&1 >/dev/null | cat >"$T/err"
		status=${PIPESTATUS[0]}
		set -e
		case "$status" in
		0) ;; # what failed was not needed: the registry, a row of .state, rubbish
		73 | 74 | 75)
			[ "$(grep -vc '^metacache_' "$T/err")" = 1 ]
			;;
		*) false ;;
		esac && promises || {
			echo "$how call $n: exit code $status: $(cat "$T/failed")"
			cat "$T/err"
			return 1
		}
		"$@" >/dev/null 2>"$T/again" && finished || {
			echo "not finished after $how call $n ($status): $(cat "$T/failed")"
			cat "$T/err" "$T/again"
			return 1
		}
	done
}

@test "flush, no space at any one call, or from it on" {
	prepare() {
		world_make "$T/world"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/old"
		world_change
		tree_of "$WORLD/here/idx" >"$T/whole"
	}
	promises() {
		diff <(tree_of "$WORLD/here/idx") "$T/whole" && storage_of >"$T/stored" &&
			[ -z "$(grep -vxFf <(cat "$T/old" "$T/whole") "$T/stored")" ] &&
			[ "$(wc -l <"$T/stored")" = "$(wc -l <"$T/old")" ]
	}
	finished() {
		diff <(tree_of "$WORLD/here/idx") "$T/whole" && storage_is_tidy &&
			diff <(storage_of) "$T/whole"
	}
	prepare
	full_anywhere "$BIN/metacache-flush" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

@test "refresh of a missing home, no space at any one call, or from it on" {
	prepare() {
		world_make "$T/world"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/whole"
		rm -rf "$WORLD"/here/idx/??/*
	}
	promises() {
		[ -z "$(tree_of "$WORLD/here/idx")" ] || diff <(tree_of "$WORLD/here/idx") "$T/whole"
	}
	finished() { diff <(tree_of "$WORLD/here/idx") "$T/whole" && no_leftovers; }
	prepare
	full_anywhere "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}

@test "refresh of an obsolete home, no space at any one call, or from it on" {
	prepare() {
		world_make "$T/world"
		mc flushall -q >/dev/null
		tree_of "$WORLD/here/idx" >"$T/old"
		storage_of >/dev/null
		world_change there
		"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
		tree_of "$WORLD/there/idx" >"$T/whole"
	}
	promises() {
		tree_of "$WORLD/here/idx" >"$T/now"
		[ -z "$(grep -vxFf <(cat "$T/old" "$T/whole") "$T/now")" ] &&
			[ "$(wc -l <"$T/now")" = "$(wc -l <"$T/whole")" ]
	}
	finished() { diff <(tree_of "$WORLD/here/idx") "$T/whole" && no_leftovers; }
	prepare
	full_anywhere "$BIN/metacache-refresh" -q -c "$WORLD/here/conf" -u "${USERS[0]}"
}
