#!/usr/bin/env bats
bats_require_minimum_version 1.5.0

# fscache-rescan killed at every call that changes something, and on a disk that is full from any of
# them on: the next one finds and repairs, and no temporary is left for ever.

setup() {
	. "$BATS_TEST_DIRNAME/../cli/fscache.bash"
	PATH=$TOOLS/fault:$PATH
	conf
	made 40 "$PWD/made"
	# What is no object does not count, and stays where there was no log.
	objects() { find "${1:-$cache}" -regextype egrep -regex '.*/[0-9a-f]{2}/[^/ ]*' -type f "${@:2}"; }
}

# A cache that is wrong in every way.
wreck() {
	rm -rf "$cache"
	cp -a made "$cache"
	# Copies are other inodes, so that the log would have none of them.
	rm "$cache/fscache.log"
	"$BIN/fscache-rescan" -q -c conf "$cache" >/dev/null
	rm "$(one 3)" "$(one 4)"
	mkdir -p "$cache/tmp" "$cache/00"
	echo left >"$cache/tmp/0123456789abcdef0123456789abcdef"
	echo left >"$cache/fscache.log.new"
	echo foreign >"$cache/00/not an object"
	touch -d '3 days ago' "$(one 7)" "$(one 8)" "$cache/00/not an object"
	head -c 50000 /dev/zero >>"$(one 10)"
	[ "${1:-cut}" != lost ] || rm "$cache/fscache.log"
	[ "${1:-cut}" != cut ] || truncate -s -700 "$cache/fscache.log"
}

rescan() { "$BIN/fscache-rescan" -q -c conf "$cache" 2d "$@"; }

# whole FILES: repaired, at least so many are there, and nothing is left behind.
whole() {
	exact
	[ ! -e "$cache/fscache.log.new" ]
	[ -z "$(ls "$cache/tmp")" ]
	[ "$(real | cut -d' ' -f1)" -ge "$1" ]
}

@test "killed at every call: the next rescan finds and repairs" {
	for how in cut lost; do
		wreck $how
		calls=$(killat count "$BIN/fscache-rescan" -q -c conf "$cache" 2d 2>/dev/null)
		[ "$calls" -ge 8 ]
		for when in "" --after; do
			for n in $(seq "$calls"); do
				wreck $how
				run killat at "$n" $when "$BIN/fscache-rescan" -q -c conf "$cache" 2d
				[ "$status" = 137 ] || [[ "$output" == *"not reached"* ]]
				# Whatever the log says now, it can be read.
				[ ! -s "$cache/fscache.log" ] || logged >/dev/null
				rescan >/dev/null
				whole 36
				[ "$(rescan -f tab --no-header --field result)" = right ]
			done
		done
	done
}

@test "killed at every call without any of it wrong: right all the time" {
	wreck whole
	rescan >/dev/null
	calls=$(killat count "$BIN/fscache-rescan" -q -c conf "$cache" 2d 2>/dev/null)
	for n in $(seq "$calls"); do
		run -137 killat at "$n" "$BIN/fscache-rescan" -q -c conf "$cache" 2d
		exact
		run -137 killat at "$n" --after "$BIN/fscache-rescan" -q -c conf "$cache" 2d
		exact
	done
	[ "$(rescan -f tab --no-header --field result)" = right ]
}

@test "no space from any call on: repaired or said, and the old log stays or a new one is there" {
	for how in cut lost; do
		wreck $how
		calls=$(killat count --only grow "$BIN/fscache-rescan" -q -c conf "$cache" 2d 2>/dev/null)
		[ "$calls" -ge 3 ]
		for n in $(seq "$calls"); do
			wreck $how
			run killat fail --fail-from "$n" --errno ENOSPC --only grow "$BIN/fscache-rescan" -q -c conf "$cache" 2d
			[ "$status" = 73 ] || [ "$status" = 0 ]
			rescan >/dev/null
			whole 0
		done
		# For a moment only: what makes way is enough.
		for n in $(seq "$calls"); do
			wreck $how
			run killat fail "$n" --errno ENOSPC --only grow "$BIN/fscache-rescan" -q -c conf "$cache" 2d
			# A log that is there can be opened and cut on a full disk, too.
			[ "$status" = 0 ] || grep -qE "ENOSPC (openat|ftruncate) $cache/fscache.log$" <<<"$output"
			rescan >/dev/null
			whole 1
		done
	done
}

@test "a call that fails for another reason: said, and the next one repairs" {
	wreck
	calls=$(killat count "$BIN/fscache-rescan" -q -c conf "$cache" 2d 2>/dev/null)
	for n in $(seq "$calls"); do
		wreck
		run killat fail "$n" --errno EIO "$BIN/fscache-rescan" -q -c conf "$cache" 2d
		[ "$status" = 74 ] || [ "$status" = 0 ]
		rescan >/dev/null
		whole 36
	done
}

# Four processes read, add, evict and remove while one rescan follows the other.
under_fire() {
	"$TOOLS/fault/fscache_fire" "$@" "$PWD/fire" "${FIRE_SECONDS:-10}" -- \
		"$BIN/fscache-rescan" -q -c conf "$PWD/fire"
	# It looked once more when all was quiet.
	exact fire
	[ -z "$(ls fire/tmp)" ]
	[ ! -e fire/fscache.log.new ]
	"$BIN/fscache-rescan" -c conf -f json "$PWD/fire" |
		jq -e '.rescans[0] | .result == "right" and .tracked_bytes == .found_bytes'
}

@test "under fire: the log is exact afterwards, and never says less than there is" { under_fire; }

@test "under fire, writers killed" { under_fire -k; }
