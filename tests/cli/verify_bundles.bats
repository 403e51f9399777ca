#!/usr/bin/env bats
# metacache-verify, with bundles that nobody needs, or that can't be read: which of them are deleted.

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	. "$BATS_TEST_DIRNAME/verify.bash"
	verify_setup
}

@test "superseded: what could not be deleted" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	found superseded superseded superseded superseded superseded superseded
	is_repaired superseded superseded superseded superseded superseded superseded
	# Without a local tree as well; one batch a user.
	cp -an "$W/before/." "$W/store"
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 0 -u "$user" --repair
	rows_are .drift superseded superseded superseded unknown_user
	[ "$(jq .summary.deleted "$out")" = 3 ]
	rm -r "$idx"
	mv "$W/away" "$idx"
}

@test "superseded by what can't be read stays" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/$(realpath --relative-to="$W/store" "$diff")" "$diff"
	new=$(find "$stored/$unit" -name 'bundle.*-*' ! -name "${diff##*/}")
	printf 'no bundle' | dd of="$new" conv=notrunc status=none
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 65 -u "$user" --repair
	rows_are '[.drift, .object, .repaired] | join(" ")' "corrupt_bundle ${new##*/} false" 'unknown_user  true'
	[ -e "$diff" ]
}

@test "orphan_diff: contained in another, and no diff at all" {
	with_diffs
	cp -a "$base" "$diff" "$W"
	head -c 100000 /dev/urandom >>"$folder/dovecot.index.log"
	for _ in 1 2; do mc flushall -q >/dev/null; done
	[ ! -e "$base" ]
	mv "$W/${diff##*/}" "$diff"
	found orphan_diff
	is_repaired orphan_diff
	cp "$W/${base##*/}" "$base-0123456789abcdef0123456789abcdef"
	found orphan_diff
	is_repaired orphan_diff
}

@test "orphan_diff that may be all there is of a change stays" {
	with_diffs
	cp -a "$W/store" "$W/before"
	elsewhere
	cp -an "$W/before/." "$W/store"
	# Somebody else's, on a base that was superseded while he wrote.
	other=$(find "$W/store" -path "*${USERS[1]}/mailboxes/*" -name 'bundle.*-*' | head -1)
	rm "$(sed 's/-[0-9a-f]*$//' <<<"$other")"
	mv "$idx" "$W/away"
	mkdir "$idx"
	verify 65 -u "${USERS[1]}" --repair
	rows 'select(.drift == "orphan_diff") | "\(.object) \(.repaired) \(.error)"' | grep -q "^${other##*/} false it may hold changes of "
	[ -e "$other" ]
}

@test "corrupt_bundle: only --deep sees it; a new base stands in for it" {
	for which in base diff; do
		with_diffs
		bundle=${!which}
		spoil "$bundle" 60
		verify 0 -A
		deep=--deep found corrupt_bundle
		rows_are .object "${bundle##*/}"
		deep=--deep is_repaired corrupt_bundle
	done
}

@test "corrupt_bundle of a unit that is not here, or not whole here, stays" {
	with_diffs
	spoil "$base" 60
	mc clean -q -p 2 -u "$user" >/dev/null
	mc rescan -q >/dev/null
	deep=--deep found corrupt_bundle
	deep=--deep is_kept corrupt_bundle
}

@test "superseded: listed once more before it is deleted" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	verify 65 -u "$user" --repair -o "obox_index_fs=fault:list@2=fail,list@3=fail,list@4=fail:posix:$W/store"
	rows_are '"\(.drift) \(.repaired)"' 'superseded false' 'superseded false' 'superseded false'
	rows .error | grep -q 'injected: failure$'
	[ -e "$diff" ]
}

# include_itself BUNDLE: its manifest also says that it includes itself.
include_itself() {
	python3 - "$1" <<-'PY'
		import io, json, os, subprocess, sys, tarfile
		tarfile.RECORDSIZE = 512 # no padding: nothing may follow the archive
		path = sys.argv[1]
		tar = subprocess.run(["zstd", "-dc", path], capture_output=True)
		data = tar.stdout if tar.returncode == 0 else open(path, "rb").read()
		out = io.BytesIO()
		with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
		    for member in old:
		        body = old.extractfile(member).read()
		        if member.name == ".manifest.json":
		            manifest = json.loads(body)
		            manifest["includes"].append(os.path.basename(path))
		            body = json.dumps(manifest).encode()
		            member.size = len(body)
		        new.addfile(member, io.BytesIO(body))
		open(path, "wb").write(out.getvalue())
	PY
}

@test "a bundle that says it includes itself is superseded by nobody" {
	with_diffs
	cp -a "$W/store" "$W/before"
	world_change
	mc flushall -q >/dev/null
	cp -an "$W/before/." "$W/store"
	new=$(find "$stored/$unit" -name 'bundle.*-*' ! -name "${diff##*/}")
	include_itself "$new"
	rm -r "$idx"
	mkdir "$idx"
	verify 0 -u "$user" --repair
	rows_are 'select(.drift == "superseded") | .object' $(cd "$W/before" && find . -path "*$user*" -name 'bundle.*-*' -printf '%f\n')
	[ -e "$new" ]
	[ -e "$base" ]
	[ ! -e "$diff" ]
}

# A large change: a new base, and the one that it replaced, which goes with the next flush but one.
replaced() {
	old=$(find "$stored/$unit" -name 'bundle.*')
	head -c 600000 /dev/urandom >>"$folder/dovecot.index.log"
	mc flush -q -u "$user" >/dev/null
	new=$(find "$stored/$unit" -name 'bundle.*' ! -name "${old##*/}")
	[ -e "$old" ]
}
# Behind the manifest, which can still be read.
spoil_end() { spoil "$1" $(($(stat -c %s "$1") - 2000)); }

@test "superseded by what is damaged behind its manifest stays, and can be taken" {
	replaced
	mc clean -q -p 2 -u "$user" >/dev/null
	spoil_end "$new"
	mc rescan -q >/dev/null
	verify 65 -A
	rows_are .drift superseded
	verify 65 -A --repair -n
	rows_are '[.drift, .object, .repaired, .error] | join(" ")' \
		"superseded ${old##*/} false it may be needed: ${new##*/} can't be read" \
		"corrupt_bundle ${new##*/} false $(rows 'select(.drift == "corrupt_bundle") | .error')"
	is_kept superseded corrupt_bundle
	deep=--deep found superseded corrupt_bundle
	deep=--deep is_kept superseded corrupt_bundle
	rm "$new"
	mc refresh -q -u "$user" >/dev/null
	[ -e "$folder/dovecot.index.log" ]
	sound
}

@test "superseded by what is damaged: where the unit is whole here, a new base comes first" {
	replaced
	spoil_end "$new"
	# Nothing is deleted while that can't be uploaded.
	verify 65 -A --repair -o "obox_index_fs=fault:put@*=fail:posix:$W/store"
	rows_are '"\(.drift) \(.repaired)"' 'superseded false' 'corrupt_bundle false'
	rows .error | grep -q injected
	[ -e "$old" ]
	tree_of "$idx" >"$BATS_TEST_TMPDIR/whole"
	verify 0 -A --repair
	rows_are '"\(.drift) \(.repaired)"' 'superseded true' 'corrupt_bundle true'
	sound
	diff "$BATS_TEST_TMPDIR/whole" <(tree_of "$idx")
	[ ! -e "$old" ] && [ ! -e "$new" ]
}

@test "superseded by what is damaged stays where .state can't be written" {
	replaced
	spoil_end "$new"
	run -65 "$KILLAT" fail 1 --errno ENOSPC --only rename,renameat,renameat2 --path "$folder/.state" \
		"$BIN/metacache-verify" -q -c "$W/here/conf" -u "$user" --repair --deep
	[ -e "$old" ]
	deep=--deep found superseded corrupt_bundle
	deep=--deep is_repaired superseded corrupt_bundle
}

@test "superseded by what is damaged stays while another unit is repaired" {
	replaced
	spoil_end "$new"
	set_state 's["unmerged"] = [s["base"] + "-" + "0" * 32]'
	other=$(find "$stored/mailboxes" -mindepth 1 -maxdepth 1 ! -name "${unit##*/}")
	rm -r "$other"
	mc rescan -q >/dev/null
	verify 65 -u "$user" --repair
	rows_are '"\(.drift) \(.repaired)"' 'superseded false' 'corrupt_bundle false' 'conflict false' 'missing_remote true'
	[ -e "$old" ]
}

@test "orphan_diff contained in what is damaged stays, but for an empty one" {
	with_diffs
	cp -a "$diff" "$W"
	head -c 100000 /dev/urandom >>"$folder/dovecot.index.log"
	for _ in 1 2; do mc flushall -q >/dev/null; done
	new=$(find "$stored/$unit" -name 'bundle.*')
	mv "$W/${diff##*/}" "$diff"
	empty=${diff%/*}/bundle.1.00000.0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef
	mc clean -q -u "$user" >/dev/null
	: >"$empty"
	spoil_end "$new"
	verify 65 -u "$user" --repair
	rows_are '[.drift, .object, .repaired] | join(" ")' "corrupt_bundle ${new##*/} false" \
		"orphan_diff ${diff##*/} false" "orphan_diff ${empty##*/} true"
	[ -e "$diff" ]
	[ ! -e "$empty" ]
}

@test "what is no diff stays where storage has nothing else of the unit" {
	with_diffs
	mc clean -q -u "$user" >/dev/null
	copy=$base-0123456789abcdef0123456789abcdef
	mv "$base" "$copy"
	rm "$diff"
	verify 65 -u "$user" --repair
	rows_are '"\(.drift) \(.repaired) \(.error)"' "orphan_diff false it may be needed: storage has no other that can be read"
	[ -e "$copy" ]
}
