#!/usr/bin/env bats
# The S3 driver by itself, against a server that fails on demand: each answer is the documented
# one, on one line, and without the secret. `make test-tools` first.

bats_require_minimum_version 1.5.0

SECRET=QpZ7secretXk

setup_file() {
	# One server is told how to fail by all of the tests.
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	export CLI
	CLI=$(realpath "${BUILD:-build}")/tests/real/store_cli
	coproc SINK { exec "${BUILD:-build}/tests/fault/s3sink" --die-with-parent; }
	read -r url <&"${SINK[0]}"
	export SINK_URL=$url SINK_PID
	# The third wait before another try would be 5 s.
	export STORE="s3:http://KEY:$SECRET@${url#http://}/?bucket=bench&max_retries=2&timeout=300ms"
}

teardown_file() {
	kill "$SINK_PID"
}

setup() {
	curl -sf -X POST "$SINK_URL/_clear"
	fault clear
	for key in k/a k/b k/c; do printf %s "content of $key" | "$CLI" - put "$key"; done
	curl -sf -X POST "$SINK_URL/_reset"
}

fault() { curl -sf --data-binary "$*" "$SINK_URL/_fault"; }

# The only fault from now on: for calls such as "delete k/a".
fault_on() {
	local kind=${1%% *}
	fault clear
	fault "kind=${kind/delete/delete_many} $2"
}

requests() { curl -sf "$SINK_URL/_counters" | jq '[.. | .requests? // empty] | add'; }

keys() { curl -sf "$SINK_URL/_dump" | jq -r '.. | .key? // empty'; }

# expect STATUS TEXT COMMAND...: one message a line, each ours, none with the secret.
expect() {
	local wanted=$1 text=$2
	shift 2
	run --separate-stderr "$CLI" "${CHAIN:--}" "$@" </dev/null
	[[ $stderr != *"$SECRET"* && $output != *"$SECRET"* ]] || return 1
	((status == wanted)) || { echo "$*: status $status: $stderr" >&2; return 1; }
	[[ $stderr == *"$text"* ]] || { echo "$*: not '$text' in: $stderr" >&2; return 1; }
	[[ -z $stderr || $(grep -vc '^store_cli: ' <<<"$stderr") == 0 ]]
}

@test "a failure that passes is tried again, and told as a warning" {
	for what in 500 503 429 reset close close-before-reply; do
		for call in 'get k/a' 'head k/a' 'list k/' 'put k/new' 'delete k/none'; do
			fault_on "$call" "do=$what"
			# shellcheck disable=SC2086
			expect 0 ': 2 tries' $call
		done
	done
}

@test "what keeps failing is unavailable" {
	for what in 500 503 429 reset; do
		for call in 'get k/a' 'head k/a' 'list k/' 'put k/new' 'delete k/a'; do
			fault_on "$call" "count=0 do=$what"
			# shellcheck disable=SC2086
			expect 69 ': 3 tries' $call
			[[ -z $output ]]
		done
	done
	[[ $(keys) == *k/a* ]]
}

@test "a final refusal is not tried again" {
	for call in 'get k/a' 'list k/' 'put k/new' 'delete k/a'; do
		fault_on "$call" "count=0 do=403"
		curl -sf -X POST "$SINK_URL/_reset"
		# shellcheck disable=SC2086
		expect 77 SignatureDoesNotMatch $call
		[[ $(requests) == 1 ]]
	done
	fault_on put do=404
	expect 69 404 put k/new
}

@test "a listing is never shorter than it should be" {
	fault_on list 'count=0 do=truncate-body'
	expect 69 'list "k/"' list k/
	[[ -z $output ]]
	for what in 200-empty bad-xml huge-xml doctype no-token foreign-keys; do
		fault_on list "count=0 do=$what"
		expect 65 'list "k/"' list k/
		[[ -z $output ]]
	done
	fault_on list 'count=0 do=garbage'
	expect 69 InternalError list k/
	fault_on list 'count=0 do=404'
	expect 69 404 list k/
	[[ -z $output ]]
}

@test "a listing that goes in circles ends" {
	fault_on list 'count=0 do=same-token'
	expect 65 'the answer makes no sense' list k/
}

@test "a body that is cut is not an object" {
	fault_on get 'count=0 do=truncate-body'
	expect 69 'get "k/a"' get k/a
	[[ -z $output ]]
	fault_on get do=truncate-body
	expect 0 ': 2 tries' get k/a
	[[ $output == 'content of k/a' ]]
}

@test "a put that was not done is not taken for done" {
	fault_on put 'count=0 do=garbage'
	expect 69 'put "k/new": HTTP status 200 with an error: InternalError' put k/new
	fault_on put 'count=0 do=200-empty'
	expect 65 'put "k/new": HTTP status 200, but no ETag' put k/new
	[[ $(keys | wc -l) == 3 ]]
}

@test "a batched delete tells which objects stay" {
	fault_on delete 'count=0 do=partial'
	run "$CLI" - delete k/a k/b k/c
	((status == 77 || status == 69))
	[[ $output == *'was not deleted'* ]]
	for what in garbage 200-empty bad-xml doctype; do
		fault_on delete "count=0 do=$what"
		run "$CLI" - delete k/b
		((status == 65 || status == 69))
	done
}

@test "a server that says nothing is given up" {
	fault_on get 'count=0 do=slow=1500'
	SECONDS=0
	CHAIN=${STORE/max_retries=2/max_retries=0} expect 69 'no answer in time' get k/a
	((SECONDS <= 1))
}

@test "slow answers within the limit are told" {
	fault_on get 'count=0 do=slow=150'
	CHAIN="$STORE&slow_warn=100ms" expect 0 'slow, ' get k/a
}

@test "absolute_timeout ends tries and waits" {
	fault_on get 'count=0 do=500'
	SECONDS=0
	CHAIN="$STORE&absolute_timeout=400ms" expect 69 ': 2 tries' get k/a
	((SECONDS <= 1))
}

@test "credentials come from the environment or a file, and none is an error" {
	CHAIN=${STORE/KEY:$SECRET@/}
	expect 78 'no access key' list k/
	AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=$SECRET expect 0 '' list k/a
	printf '%s\n' '[other]' 'aws_access_key_id = x' '[default]' '# comment' \
		'aws_access_key_id = a' "aws_secret_access_key=$SECRET" >"$BATS_TEST_TMPDIR/credentials"
	STORE_CREDENTIALS=$BATS_TEST_TMPDIR/credentials expect 0 '' list k/a
	printf '[other]\naws_access_key_id=x\naws_secret_access_key=%s\n' "$SECRET" >"$BATS_TEST_TMPDIR/other"
	STORE_CREDENTIALS=$BATS_TEST_TMPDIR/other expect 78 'no access key' list k/a
	STORE_CREDENTIALS=$BATS_TEST_TMPDIR/none expect 78 'open the credentials file' list k/a
}
