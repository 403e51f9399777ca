#!/usr/bin/env bats
# A store that fails, lies, loses replies or is slow: every command ends with the documented
# code and one line, nothing is lost, and when the store is well again the same command finishes.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/sweep.bash"
	. "$BATS_TEST_DIRNAME/sink.bash"
	T=$BATS_TEST_TMPDIR
	sink_start
}

teardown() {
	sink_stop
	json_valid
}

# Which code belongs to which fault that goes on for ever.
GONE="500 503 429 reset close close-before-reply truncate-body garbage" # 69
NONSENSE="200-empty bad-xml huge-xml doctype"                              # 65
LISTING="foreign-keys no-token same-token"                                 # 65, listings only

code_of() {
	case " $GONE 404 " in *" $1 "*) echo 69 && return ;; esac
	[ "$1" = 403 ] && echo 77 || echo 65
}

fail_with() {
	echo "$case: $*"
	cat "$T/err"
	return 1
}

# ends CODE COMMAND…: with that code, and one line that says why, without the secret.
ends() {
	local want=$1 status=0
	shift
	mc "$@" -q >"$T/out" 2>"$T/err" || status=$?
	[ "$status" = "$want" ] || fail_with "exit code $status, not $want" || return
	if [ "$want" = 0 ]; then
		[ ! -s "$T/err" ] || fail_with "says something"
		return
	fi
	[ "$(wc -l <"$T/err")" = 1 ] || fail_with "not one line" || return
	grep -q "^metacache-$1: " "$T/err" || fail_with "does not name the program" || return
	! grep -q SECRET "$T/err" || fail_with "tells the secret"
}

# Worlds.
fresh() {
	fault
	sink_clear
	world_make "$T/world"
	here=$WORLD/here/idx
	user=${USERS[0]}
}
flushed() {
	fresh
	mc flushall -q >/dev/null
}
# Each unit has a base and a diff; the next upload supersedes that.
changed() {
	flushed
	world_change
	mc flushall -q >/dev/null
	world_change
}
missing() {
	flushed
	tree_of "$here" >"$T/whole"
	rm -rf "$here"/??/*
}
# Another backend has gone on.
obsolete() {
	flushed
	storage_of >/dev/null
	world_change there
	"$BIN/metacache-flushall" -q -c "$WORLD/there/conf" >/dev/null
	tree_of "$WORLD/there/idx" >"$T/whole"
}

note_now() { tree_of "$here" >"$T/now" && sink_keys >"$T/keys"; }
same_tree() { diff "$T/now" <(tree_of "$here") || fail_with "the local tree is another one"; }
same_store() { diff "$T/keys" <(sink_keys) || fail_with "storage is another one"; }
# Of each unit a base, and at most one diff, which is on it.
one_state_a_unit() {
	sink_keys | awk -v units="$(units)" '
		{ name = $1; split(name, part, "-[0-9a-f]+$"); base = part[1] }
		base == name { bases[base] = 1; count++; next }
		{ diffs[base]++ }
		END {
			for (base in diffs) if (diffs[base] > 1 || !(base in bases)) exit 1
			exit count != units
		}' || { sink_keys; fail_with "not one state a unit"; }
}
others_get() { diff "$1" <(storage_of) || fail_with "another backend gets something else"; }

# never_empty COMMAND WORLD FAULT…: a listing that fails says nothing about what there is.
never_empty() {
	local do command=$1 world=$2
	shift 2
	for do in "$@"; do
		case="$command ($world) with listings: $do"
		"$world"
		note_now
		fault "kind=list count=0 do=$do"
		ends "$(code_of "$do")" "$command" -u "$user" && same_tree && same_store || return
		fault
		ends 0 "$command" -u "$user" && "${command}_done" || return
	done
}

flush_done() { same_tree && one_state_a_unit && others_get "$T/now"; }
flushall_done() { flush_done; }
refresh_done() { diff "$T/whole" <(tree_of "$here") && no_leftovers; }
clean_done() { [ -z "$(tree_of "$here")" ] && no_leftovers && same_store && others_get "$T/now"; }

@test "a failing listing is not an empty one: flush writes nothing" {
	never_empty flush changed 403 404 $GONE $NONSENSE $LISTING
}

@test "a failing listing is not an empty one: refresh of an obsolete home changes nothing" {
	never_empty refresh obsolete 403 500 truncate-body garbage 200-empty no-token
}

@test "a failing listing is not an empty one: refresh of a missing home makes nothing" {
	never_empty refresh missing 403 500 truncate-body garbage 200-empty no-token
}

@test "a failing listing is not an empty one: clean removes nothing" {
	never_empty clean flushed 403 404 500 close-before-reply truncate-body garbage $NONSENSE $LISTING
}

@test "flushall: a part of the users is done, and said" {
	local do
	for do in 500 bad-xml; do
		case="flushall with listings: $do"
		sink_clear
		fault
		world_make "$T/world" 3
		here=$WORLD/here/idx
		mc flushall -q >/dev/null
		world_change
		note_now
		fault "kind=list count=0 do=$do"
		run mc flushall -q
		[ "$status" = 75 ] || [ "$status" = "$(code_of "$do")" ]
		same_tree
		same_store
		fault
		ends 0 flushall
		flush_done
		# One user's folder can't be written; the others are.
		world_change
		note_now
		fault "kind=put count=0 do=$do key=${USERS[1]}/"
		run mc flushall -q -f json
		[ "$status" = 75 ] || [ "$status" = "$(code_of "$do")" ]
		[ "$(grep -c "^metacache-flushall: " <<<"$output")" = 1 ]
		same_tree
		fault
		ends 0 flushall
		[ "$(sink_counter .put.requests)" -gt 0 ]
		flush_done
	done
}

@test "uploads that fail for ever: nothing is lost, and the next flush is no conflict with itself" {
	local do
	for do in 403 $GONE $NONSENSE; do
		for world in fresh changed; do
			# A first upload differs only where the object may be there after all.
			[[ "$world $do" != fresh\ [!c]* ]] || continue
			case="flush ($world) with uploads: $do"
			"$world"
			note_now
			fault "kind=put count=0 do=$do"
			ends "$(code_of "$do")" flush -u "$user" && same_tree || return
			# What was there still is.
			[ -z "$(comm -23 "$T/keys" <(sink_keys))" ]
			# Changes go on, as they would.
			world_change
			tree_of "$here" >"$T/now"
			fault
			ends 0 flush -u "$user" && flush_done || return
		done
	done
}

@test "an upload whose reply is lost, once and twice: one bundle a unit in the end" {
	local unit
	sink_retries 0
	for unit in example.com/idx /mailboxes/; do
		case="lost reply of $unit"
		changed
		note_now
		fault "kind=put count=0 key=$unit do=close-before-reply"
		ends 69 flush -u "$user"
		same_tree
		# Lost again, in the run that was to finish.
		world_change
		tree_of "$here" >"$T/now"
		fault "kind=put count=0 key=$unit do=close-before-reply"
		ends 69 flush -u "$user"
		fault
		ends 0 flush -u "$user"
		flush_done
	done
}

@test "once is nothing: 500, 503, reset, closed, cut are tried again, and all is well" {
	local do kind
	for do in 500 503 reset close-before-reply; do
		for kind in list put get; do
			case="$kind $do once"
			changed
			note_now
			fault "kind=$kind do=$do"
			if [ $kind = get ]; then
				fault
				ends 0 flush -u "$user"
				rm -rf "$here"/??/*
				fault "kind=get do=$do"
				ends 0 refresh -u "$user"
				diff "$T/now" <(tree_of "$here")
			else
				ends 0 flush -u "$user"
				flush_done
			fi
			[ "$(sink_counter .faults)" -gt 0 ]
		done
	done
}

@test "downloads that fail: the home stays as it is, or does not appear" {
	local do
	local code
	for do in 403 500 reset truncate-body garbage 200-empty corrupt; do
		for world in missing obsolete; do
			[[ "$world $do" != obsolete\ [2cr]* ]] || continue
			code=$(code_of "$do")
			# Any 200 may be the object: its content decides.
			[ "$do" != garbage ] || code=65
			case="refresh ($world) with downloads: $do"
			"$world"
			note_now
			fault "kind=get count=0 do=$do"
			ends "$code" refresh -u "$user" && same_tree && same_store &&
				no_leftovers || return
			fault
			ends 0 refresh -u "$user" && refresh_done || return
		done
	done
}

@test "one download of three fails: each unit is the old one or the new one, whole" {
	local nth do
	sink_retries 0
	for nth in 1 2 3; do
		for do in 500 corrupt; do
			case="refresh: GET $nth $do"
			obsolete
			note_now
			fault "kind=get nth=$nth count=2 do=$do"
			run -"$(code_of "$do")" mc refresh -q -u "$user"
			tree_of "$here" >"$T/mixed"
			[ -z "$(grep -vxFf <(cat "$T/now" "$T/whole") "$T/mixed")" ]
			[ "$(wc -l <"$T/mixed")" = "$(wc -l <"$T/whole")" ]
			fault
			ends 0 refresh -u "$user"
			refresh_done
			# A home appears whole or not at all.
			missing
			note_now
			fault "kind=get nth=$nth count=2 do=$do"
			ends "$(code_of "$do")" refresh -u "$user"
			same_tree
		done
	done
}

@test "a listed object that is gone is a race: listed again, then tried later; never a loss" {
	for world in missing obsolete; do
		case="refresh ($world): 404 on what is listed"
		"$world"
		note_now
		fault 'kind=get do=404'
		ends 0 refresh -u "$user"
		refresh_done
		"$world"
		note_now
		fault 'kind=get count=0 do=404'
		ends 75 refresh -u "$user"
		same_tree
		same_store
		no_leftovers
		fault
		ends 0 refresh -u "$user"
		refresh_done
	done
}

@test "deletes that fail: rubbish stays, no data does not; the next flush tidies up" {
	local do
	for do in 403 500 close-before-reply garbage 200-empty bad-xml doctype partial; do
		case="flush with deletes: $do"
		changed
		note_now
		fault "kind=delete_many count=0 do=$do"
		mc flush -q -u "$user" >"$T/out" 2>"$T/err" || fail_with "exit code $?" || return
		same_tree && others_get "$T/now" || return
		[ "$(sink_keys | wc -l)" -ge "$(units)" ]
		fault
		# Nothing changed since, and still it knows what to tidy up.
		ends 0 flush -u "$user" && flush_done || return
	done
}

@test "flushall, too, tidies up what an earlier run could not delete" {
	changed
	fault 'kind=delete_many count=0 do=500'
	mc flushall -q >/dev/null 2>&1
	[ "$(sink_keys | wc -l)" -gt $((2 * $(units))) ]
	note_now
	fault
	case=flushall
	ends 0 flushall
	flush_done
}

@test "a slow store: the time-out ends it, and a store that is only slowish is waited for" {
	local kind
	sink_retries 0 '&timeout=1s'
	for kind in list get; do
		case="refresh, $kind too slow"
		missing
		note_now
		fault "kind=$kind count=0 do=slow=2500"
		ends 69 refresh -u "$user"
		same_tree
		fault "kind=$kind count=0 do=slow=300"
		ends 0 refresh -u "$user"
		refresh_done
	done
	case='flush, put too slow'
	changed
	note_now
	fault 'kind=put nth=3 do=slow=2500'
	ends 69 flush -u "$user"
	same_tree
	fault
	ends 0 flush -u "$user"
	# The late one lands after that, or did: it is this tree's own.
	others_get "$T/now"
	world_change
	tree_of "$here" >"$T/now"
	ends 0 flush -u "$user"
	ends 0 flush -u "$user"
	others_get "$T/now"
}

@test "nobody listens there" {
	changed
	note_now
	sink_stop
	sink=
	for command in flush refresh clean; do
		case="$command, nobody listens"
		ends 69 $command -u "$user"
		same_tree
		no_leftovers
	done
}

@test "clean to a limit over a store that fails: nothing goes that is not in storage" {
	local do kind
	for kind in list put; do
		for do in 500 403 close-before-reply $([ $kind = put ] || echo 200-empty bad-xml no-token); do
			case="clean --max-space with $kind: $do"
			changed
			note_now
			fault "kind=$kind count=0 do=$do"
			run -75 mc clean -q -A --max-space -o metacache_max_space=1B
			same_tree
			fault
			ends 0 clean -A --max-space -o metacache_max_space=1B
			[ -z "$(tree_of "$here")" ]
			others_get "$T/now"
		done
	done
}

# The fault: driver, above the embedded store.
posix_world() {
	STORE=
	world_make "$T/world"
	here=$WORLD/here/idx
	user=${USERS[0]}
	mc flushall -q >/dev/null
	world_change
	mc flushall -q >/dev/null
	world_change
	tree_of "$here" >"$T/now"
}
with_fault() { faulty=(-o "obox_index_fs=fault:$1:posix:$WORLD/store"); }
# A base that the first one replaces goes with the second.
whole_again() {
	ends 0 flush -u "$user" && ends 0 flush -u "$user" && diff "$T/now" <(tree_of "$here") &&
		storage_is_tidy && others_get "$T/now"
}

@test "fault driver: each action on put, list and delete" {
	local rule
	for rule in put@1=fail:74 put@2=unavailable:69 put@*=denied:77 put@2+=full:73 \
		put@1=lost:69 put@*=lost:69 list@*=fail:74 list@1=truncate:65 list@1=lost:69; do
		case="flush with $rule"
		posix_world
		with_fault "${rule%:*}"
		ends "${rule#*:}" flush -u "$user" "${faulty[@]}"
		diff "$T/now" <(tree_of "$here")
		whole_again
	done
	for rule in delete@*=fail delete@*=partial delete@*=lost; do
		case="flush with $rule"
		posix_world
		with_fault "$rule"
		mc flush -q -u "$user" "${faulty[@]}" >"$T/out" 2>&1
		whole_again
	done
}

@test "fault driver: killed in an upload, before it and after it" {
	local rule
	for rule in put@2=kill put@3=kill put@1=kill-after put@2=kill-after put@3=kill-after \
		list@1=kill-after delete@1=kill delete@1=kill-after; do
		case="flush with $rule"
		posix_world
		with_fault "$rule"
		run -137 mc flush -q -u "$user" "${faulty[@]}"
		diff "$T/now" <(tree_of "$here")
		world_change
		tree_of "$here" >"$T/now"
		whole_again
	done
}

@test "fault driver: get, with a home that is missing here" {
	local rule
	for rule in get@1=fail:74 get@2=500:69 get@3=denied:77 get@*=notfound:75 get@1=truncate:65 \
		get@2=short:65 get@3=corrupt:65 list@1=truncate:65; do
		case="refresh with $rule"
		posix_world
		mc flush -q -u "$user" >/dev/null
		rm -rf "$here"/??/*
		with_fault "${rule%:*}"
		ends "${rule#*:}" refresh -u "$user" "${faulty[@]}"
		[ -z "$(tree_of "$here")" ]
		ends 0 refresh -u "$user"
		diff "$T/now" <(tree_of "$here")
	done
}

# A lost base, a diff that is none; and nothing to flush.
drifted() {
	local base
	posix_world
	mc flush -q -u "$user" >/dev/null
	base=$(find "$WORLD/store" -path '*/mailboxes/*' -name 'bundle.*' ! -name '*-*' | head -1)
	lost=${base%/*}
	rm "$base"*
	base=$(find "$WORLD/store" -path '*/mailboxes/*' -name 'bundle.*' ! -name '*-*')
	cp "$base" "${base%/*}/bundle.1.00000.0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef"
	(cd "$WORLD/store" && find . -type f | sort) >"$T/keys"
}

@test "verify --repair: what can't be looked at is not repaired, and the next one finishes" {
	local rule
	for rule in list@*=fail:74 list@1=unavailable:69 list@1=denied:77 list@1=truncate:65 \
		get@*=fail:74 get@*=unavailable:69; do
		case="verify --repair with $rule"
		drifted
		with_fault "${rule%:*}"
		ends "${rule#*:}" verify --repair -u "$user" "${faulty[@]}"
		diff "$T/now" <(tree_of "$here")
		diff "$T/keys" <(cd "$WORLD/store" && find . -type f | sort)
		ends 0 verify --repair -u "$user"
		ends 0 verify --deep -A
		whole_again
	done
	for rule in list@2=fail list@3=truncate get@*=truncate get@*=short put@*=fail put@*=lost \
		put@*=denied delete@*=fail delete@*=partial delete@*=lost; do
		case="verify --repair with $rule"
		drifted
		with_fault "$rule"
		status=0
		mc verify -q --repair -u "$user" "${faulty[@]}" >"$T/out" 2>"$T/err" || status=$?
		# One whose reply was lost is gone at the second look; a listing that failed once did not at the
		# second try.
		[ "$status" = 65 ] || [[ "$status $rule" == '0 list@'[23]* ]] || [ "$status $rule" = '0 delete@*=lost' ] ||
			[ "$status $rule" = '0 delete@*=partial' ] || fail_with "exit code $status"
		diff "$T/now" <(tree_of "$here")
		# What goes is the diff that is none, or what seemed damaged and is here whole.
		[ "$rule" = get@*=short ] || [ -z "$(comm -23 <(grep -v /bundle.1.0 "$T/keys") <(cd "$WORLD/store" && find . -type f | sort))" ]
		ends 0 verify --repair -u "$user"
		ends 0 verify --deep -A
		whole_again || fail_with "not whole again"
	done
}
