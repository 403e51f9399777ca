#!/usr/bin/env bats
# The cache of mail objects: killed at every call, refused every call, on a full disk, two processes at
# once, and under fire.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	. "$BATS_TEST_DIRNAME/sink.bash"
	FIRE=$BUILD/tests/fault/fscache_fire
	cd "$BATS_TEST_TMPDIR" || return 1
	W=$PWD
	mounted=
	mkdir -p store/a idx state
	for n in $(seq 12); do head -c 12000 /dev/urandom >"store/a/$n"; done
	conf 64k "$W/cache" "posix:$W/store"
}
teardown() {
	sink_stop
	[ -z "$mounted" ] || umount "$mounted"
}

# conf LIMIT CACHE STORE
conf() {
	printf '%s\n' "mail_home = $W/idx/%u" "obox_fs = fscache:$1:$2:$3" "state_dir = $W/state" >conf
}
fetch() { "$BIN/fscache-fetch" -c "$W/conf" "$@"; }

# What the log says, by all of its lines, and what there is of objects.
logged() {
	awk '$1 == "+" { n += $3 } $1 == "-" { n -= $3 } END { printf "%d\n", n }' "$W/cache/fscache.log"
}
real() { find "$W/cache" -path "$W/cache/??/*" -type f -printf '%b\n' | awk '{ n += $1 * 512 } END { printf "%d\n", n }'; }
# Each entry of the queue is consumed once, in order, where the next one begins.
queue_is_right() {
	awk '
		{ length_ = length($0) + 1 }
		NR == 1 { if ($0 != "fscache.log 1") exit 1 }
		NR > 1 && $1 !~ /^[-+~!=]$/ { print "damaged: " $0; exit 1 }
		/^[-~]/ {
			if (!($5 in behind) || done[$5]++) { print "cursor: " $0; exit 1 }
			if (behind[$5] != $3 " " $4 " " $6) { print "another entry: " $0; exit 1 }
		}
		/^[+~]/ { behind[at + length_] = $3 " " $4 " " $NF }
		{ at += length_ }' "$W/cache/fscache.log"
}
# All objects that are there are what they are in storage.
objects_are_right() {
	local file key
	while read -r file; do
		key=${file##*/}
		cmp "$W/store/${key//%2F//}" "$file" || return 1
	done < <(find "$W/cache" -path "$W/cache/??/*" -type f)
}
# The log never says less than there is.
cache_is_sound() {
	[ ! -e "$W/cache/fscache.log" ] && [ "$(real)" = 0 ] && return
	[ "$(logged)" -ge "$(real)" ] && [ "$(real)" -le 65536 ] && queue_is_right && objects_are_right
}
every_object_can_be_read() {
	for n in $(seq 12); do
		fetch -O "$W/out" "a/$n" >/dev/null && cmp "$W/out" "$W/store/a/$n" || return 1
	done
}

@test "a fetch that evicts, killed anywhere: the log says what there is, or more, until the queue has passed" {
	prepare() {
		rm -rf "$W/cache"
		for n in 1 2 3 4; do fetch "a/$n" >/dev/null; done
		fetch a/1 >/dev/null
		fetch a/5 >/dev/null # 1 was used: 2 went
		fetch a/3 >/dev/null
	}
	promises() {
		local before after
		cache_is_sound || return 1
		before=$(real)
		fetch -O "$W/out" a/6 >/dev/null && cmp "$W/out" "$W/store/a/6" || return 1
		after=$(real)
		[ "$before" -le "$after" ] && cache_is_sound
	}
	finished() {
		cache_is_sound && [ -z "$(ls "$W/cache/tmp")" ] && [ "$(fetch -f tab --no-header --field outcome a/6)" = hit ] &&
			every_object_can_be_read && cache_is_sound && [ "$(logged)" = "$(real)" ]
	}
	sweep "$BIN/fscache-fetch" -c "$W/conf" a/6
}

@test "the first fetch, killed anywhere" {
	prepare() { rm -rf "$W/cache"; }
	promises() { cache_is_sound; }
	finished() { cache_is_sound && [ -z "$(ls "$W/cache/tmp")" ] && every_object_can_be_read && [ "$(logged)" = "$(real)" ]; }
	sweep "$BIN/fscache-fetch" -c "$W/conf" a/6
}

# A log of more than a MiB that is dead but for its end.
long_log() {
	python3 - "$W/cache/fscache.log" <<-'PY'
		import sys
		path = sys.argv[1]
		lines = open(path).read().splitlines(True)
		live = [line for line in lines if line.startswith("+")]
		out = ["fscache.log 1\n"]
		size = len(out[0])
		for i in range(12000):
		    name = f"dead-object-with-a-long-name-{i:06}"
		    out.append(f"+ 1 4096 {i} {name}\n")
		    size += len(out[-1])
		    out.append(f"- 1 4096 {i} {size} {name}\n")
		    size += len(out[-1])
		open(path, "w").write("".join(out + live))
	PY
}

@test "a compaction, killed anywhere: the old log or the new one" {
	prepare() {
		rm -rf "$W/cache"
		for n in 1 2 3; do fetch "a/$n" >/dev/null; done
		long_log
		touch "$W/cache/fscache.log.new"
	}
	promises() { cache_is_sound; }
	finished() {
		cache_is_sound && [ "$(logged)" = "$(real)" ] && [ "$(stat -c %s "$W/cache/fscache.log")" -lt 1000 ] &&
			[ ! -e "$W/cache/fscache.log.new" ] && every_object_can_be_read
	}
	sweep "$BIN/fscache-fetch" -c "$W/conf" a/6
}

@test "every call in the cache refused: the reader gets the object, and the log never says less than there is" {
	local how n errno
	for errno in ENOSPC EIO; do
		for how in '' --fail-from; do
			for n in $(seq 40); do
				rm -rf cache
				for k in 1 2 3 4 5; do fetch "a/$k" >/dev/null; done
				rm -f out killed
				"$KILLAT" fail $how "$n" --errno $errno --path "$W/cache" --output killed \
					"$BIN/fscache-fetch" -c conf -O out a/6 >row 2>err || true
				grep -q 'not reached' killed && break
				cmp out store/a/6 || { echo "$errno $how $n: $(cat killed err)"; return 1; }
				cache_is_sound || { echo "$errno $how $n: $(cat killed)"; cat cache/fscache.log; return 1; }
				every_object_can_be_read || { echo "$errno $how $n"; return 1; }
			done
			echo "$errno $how: $n calls"
			[ "$n" -gt 8 ]
			[ "$n" -lt 40 ]
		done
	done
}

@test "on a disk without a free byte the reader gets the object, and the cache gives up what it has" {
	mkdir cache
	mount -t tmpfs -o size=256k none cache || skip 'needs the right to mount'
	mounted=$W/cache
	conf 64M "$W/cache" "posix:$W/store"
	every_object_can_be_read # far below the limit
	[ "$(logged)" = "$(real)" ]
	for n in $(seq 13 24); do
		head -c 12000 /dev/urandom >"store/a/$n"
		dd if=/dev/zero of=cache/fill oflag=append conv=notrunc bs=512 2>/dev/null || true
		fetch -O out "a/$n" >/dev/null 2>err || [[ "$(<err)" == *"No space left"* || "$(<err)" == *"no room"* ]]
		cmp out "store/a/$n"
		[ "$(logged)" -ge "$(real)" ]
	done
	[ "$(real)" -lt 100000 ]
	rm cache/fill
	every_object_can_be_read
	[ -z "$(ls cache/tmp)" ]
}

@test "two processes that want the same object fetch it once" {
	local round
	sink_start
	conf 64M "$W/cache" "s3:http://KEY:SECRET@${url#http://}/?bucket=bench"
	for round in $(seq 5); do
		curl -sSf -T store/a/1 "$url/bench/a/$round"
		fault "kind=get key=a/$round count=0 do=slow=200"
		sink_reset
		readers=()
		for n in 1 2 3; do
			fetch -O "out$n" "a/$round" >"row$n" 3>&- &
			readers+=($!)
		done
		wait "${readers[@]}"
		for n in 1 2 3; do cmp "out$n" store/a/1; done
		[ "$(sink_counter .get.requests)" = 1 ]
		[ "$(cat row1 row2 row3 | grep -c hit)" = 2 ]
	done
}

@test "who waits for a fetch whose process is killed fetches" {
	sink_start
	conf 64M "$W/cache" "s3:http://KEY:SECRET@${url#http://}/?bucket=bench"
	curl -sSf -T store/a/1 "$url/bench/a/1"
	fault 'kind=get nth=1 do=slow=60000'
	"$BIN/fscache-fetch" -c conf a/1 3>&- >/dev/null 2>&1 &
	first=$!
	for _ in $(seq 200); do [ "$(sink_counter .get.requests)" = 1 ] && break; sleep 0.02; done
	fetch -O out a/1 3>&- >row &
	second=$!
	kill -9 "$first"
	wait "$second"
	cmp out store/a/1
	grep -q fetched row
	[ "$(logged)" = "$(real)" ]
	[ -z "$(ls cache/tmp)" ]
}

# requested N: so many GETs have come to the server.
requested() {
	for _ in $(seq 500); do [ "$(sink_counter .get.requests)" = "$1" ] && return; sleep 0.02; done
	return 1
}

@test "temporaries removed by hand while two fetch: what the first has is not the second's to become" {
	sink_start
	conf 64M "$W/cache" "s3:http://KEY:SECRET@${url#http://}/?bucket=bench"
	curl -sSf -T store/a/1 "$url/bench/a/1"
	fault 'kind=get nth=1 do=slow=1500' 'kind=get nth=2 do=slow=60000'
	sink_reset
	fetch -O out1 a/1 >row1 2>err1 3>&- &
	first=$!
	requested 1
	find cache -type f -delete
	"$BIN/fscache-fetch" -c conf a/1 3>&- >/dev/null 2>&1 &
	second=$!
	requested 2
	status=0
	wait "$first" || status=$?
	[ "$status" = 75 ]
	cmp out1 store/a/1
	grep -q passed row1
	grep -q 'somebody removed the temporary' err1
	[ "$(real)" = 0 ]
	[ "$(ls cache/tmp | wc -l)" = 1 ]
	kill -9 "$second"
	fetch -O out a/1 >row
	cmp out store/a/1
	grep -q fetched row
	[ "$(logged)" = "$(real)" ]
	[ -z "$(ls cache/tmp)" ]
}

@test "on XFS, which sets blocks aside behind a file that grows, the log is exact" {
	command -v mkfs.xfs >/dev/null || skip 'no mkfs.xfs'
	truncate -s 320M image
	mkfs.xfs -q image
	mkdir cache
	mount -o loop image cache || skip 'needs the right to mount'
	mounted=$W/cache
	conf 128M "$W/cache" "posix:$W/store"
	for size in 1000 5000 70000 300000 3000000 4194304 4194305 6000000 10000001; do
		head -c "$size" /dev/urandom >store/a/1
		cp store/a/1 "store/a/$size"
		fetch -O out "a/$size" >row
		cmp out store/a/1
		grep -q fetched row
		[ "$(logged)" = "$(real)" ] || { echo "$size: $(logged), not $(real)"; return 1; }
	done
}

# A filesystem of its own, where that is permitted: then all of it is watched.
fire_disk() {
	mkdir fire
	mount -t tmpfs -o size=256m none fire || return 0
	mounted=$W/fire
}

@test "under fire, with rescans back to back" {
	fire_disk
	"$FIRE" "$W/fire" "${FIRE_SECONDS:-10}" -- "$BIN/fscache-rescan" -q -c "$W/conf" "$W/fire"
}

@test "under fire, with rescans, and writers killed" {
	fire_disk
	"$FIRE" -k "$W/fire" "${FIRE_SECONDS:-5}" -- "$BIN/fscache-rescan" -q -c "$W/conf" "$W/fire"
	[ -z "$(ls fire/tmp)" ]
}
