#!/usr/bin/env bats
# The S3 driver on Ceph RGW, which checks signatures: keys of all kinds, pages, folding, batches,
# metadata, and what is said when key, bucket, clock or port are wrong.

bats_require_minimum_version 1.5.0

setup_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	export RGW_DIR
	RGW_DIR=$(scratch_make)
	"$REAL_DIR/start-rgw" "$RGW_DIR/rgw" >"$RGW_DIR/env"
	. "$RGW_DIR/env"
	export RGW_URL RGW_PORT RGW_ACCESS_KEY RGW_SECRET_KEY RGW_REGION
	"$REAL_DIR/s3" PUT /mails
	export CLI
	CLI=$(realpath "${BUILD:-build}")/tests/real/store_cli
	export HOST=127.0.0.1:$RGW_PORT
	export STORE="s3:http://$RGW_ACCESS_KEY:$RGW_SECRET_KEY@$HOST/?bucket=mails"
}

teardown_file() {
	. "$BATS_TEST_DIRNAME/lib.bash"
	"$REAL_DIR/stop" "$RGW_DIR/rgw"
	rm -rf "$RGW_DIR"
}

setup() {
	. "$BATS_TEST_DIRNAME/lib.bash"
}

# Everything in the bucket, by another client.
foreign_keys() { "$REAL_DIR/s3" keys mails "$1"; }

@test "keys with everything that URLs, XML and signatures trip over" {
	keys=('a b/c' 'a+b' 'a%20b' 'a%b' 'user@example.com/idx/bundle.1' '~tilde' "it's" 'q?x=1&y=2#z'
		'<a>&"b"' 'c:d;e,f=g!h*(i)$' 'é/日本/🙂' '[x]{y}|z^`' 'back\slash' '...' 'a/.../b' '-dash')
	for key in "${keys[@]}"; do
		printf %s "$key" | "$CLI" - put "odd/$key" "username=$key"
		[[ $("$CLI" - get "odd/$key") == "$key" ]]
		[[ $("$CLI" - head "odd/$key") == *"username=$key" ]]
		[[ $("$CLI" - list "odd/$key") == *" odd/$key" ]]
	done
	[[ $("$CLI" - list odd/ | wc -l) == "${#keys[@]}" ]]
	"$CLI" - list odd/ | cut -d' ' -f2- | LC_ALL=C sort -c
	diff <(foreign_keys odd/ | LC_ALL=C sort) <("$CLI" - list odd/ | cut -d' ' -f2-)
	printf 'odd/%s\n' "${keys[@]}" | "$CLI" - delete
	[[ -z $("$CLI" - list odd/) ]]
}

@test "metadata comes back as it was, and in plain text for others" {
	"$CLI" - put meta/x username=user@example.com size=7 'fname=  é  %41 x ' mailbox-guid=0a </dev/null
	run -0 "$CLI" - head meta/x
	[[ $output == *'username=user@example.com'* ]]
	[[ $output == *'fname=  é  %41 x '* ]]
	[[ $output == *'mailbox-guid=0a'* ]]
	run -0 "$REAL_DIR/s3" HEAD /mails/meta/x -I
	[[ $output == *'x-amz-meta-dovecot-username: user@example.com'* ]]
}

@test "more than two pages are listed, and deleted in batches" {
	"$CLI" - fill many/x/ 2345
	run -0 --separate-stderr "$CLI" - counters list many/
	[[ $(wc -l <<<"$output") == 2345 ]]
	[[ $stderr == *'list requests=3 retries=0'* ]]
	cut -d' ' -f2 <<<"$output" | LC_ALL=C sort -cu
	[[ $("$CLI" - list many/ /) == '- many/x/' ]]
	run -0 --separate-stderr "$CLI" - counters delete < <(cut -d' ' -f2 <<<"$output")
	[[ $stderr == *'delete requests=3 retries=0'* ]]
	[[ -z $("$CLI" - list many/) && -z $(foreign_keys many/) ]]
}

@test "more folded prefixes than a page holds" {
	"$CLI" - fill fold/ 1100 /a
	printf x | "$CLI" - put fold/00500
	printf x | "$CLI" - put fold/00500-b
	"$CLI" - list fold/ / >"$BATS_TEST_TMPDIR/list"
	[[ $(wc -l <"$BATS_TEST_TMPDIR/list") == 1102 ]]
	cut -d' ' -f2 "$BATS_TEST_TMPDIR/list" | LC_ALL=C sort -cu
	[[ $(grep -c '^- ' "$BATS_TEST_TMPDIR/list") == 1100 ]]
	"$CLI" - list fold/ | cut -d' ' -f2 | "$CLI" - delete
}

@test "a prefix in the URL is seen by nobody above" {
	inner="${STORE/\?/sub/dir\?}"
	printf x | "$CLI" "$inner" put a/b
	[[ $("$CLI" - list sub/) == '1 sub/dir/a/b' ]]
	[[ $("$CLI" "$inner" list '') == '1 a/b' ]]
	[[ $("$CLI" "$inner" list '' /) == '- a/' ]]
	"$CLI" "$inner" delete a/b
	[[ -z $("$CLI" - list sub/) ]]
}

@test "an empty object, and one that does not fit into memory" {
	"$CLI" - put size/0 </dev/null
	[[ $("$CLI" - list size/) == '0 size/0' ]]
	[[ -z $("$CLI" - get size/0) ]]
	head -c 12345678 /dev/urandom >"$BATS_TEST_TMPDIR/big"
	"$CLI" - put size/big <"$BATS_TEST_TMPDIR/big"
	"$CLI" - get size/big | cmp - "$BATS_TEST_TMPDIR/big"
	"$CLI" - delete size/0 size/big
}

@test "what is not there" {
	run -1 "$CLI" - get none
	run -1 "$CLI" - head none
	run -0 "$CLI" - delete none none/x
	run -0 "$CLI" - list none
	[[ -z $output ]]
}

# says STATUS TEXT CHAIN: for every kind of request, one line, no secret.
says() {
	local call
	for call in 'get x' 'head x' 'list x' 'put x' 'delete x'; do
		# shellcheck disable=SC2086
		run --separate-stderr "$CLI" "$3" $call </dev/null
		((status == $1)) || { echo "$call: status $status: $stderr" >&2; return 1; }
		[[ -z $output && $(grep -vc '^store_cli: warning' <<<"$stderr") == 1 ]]
		[[ $stderr != *"$RGW_SECRET_KEY"* && $stderr != *"not-the-key"* ]]
		[[ $stderr =~ $2 ]] || { echo "$call: $stderr" >&2; return 1; }
	done
}

@test "wrong secret, wrong key: 77" {
	says 77 '403(, SignatureDoesNotMatch; the secret key is wrong|; is the key right)' "s3:http://$RGW_ACCESS_KEY:not-the-key@$HOST/?bucket=mails"
	says 77 '403(, InvalidAccessKeyId; the access key is wrong|; is the key right)' "s3:http://NOBODY:$RGW_SECRET_KEY@$HOST/?bucket=mails"
}

@test "no such bucket: 69, and never 'no such object'" {
	says 69 'NoSuchBucket; make the bucket' "s3:http://$RGW_ACCESS_KEY:$RGW_SECRET_KEY@$HOST/?bucket=none"
}

@test "nobody listens, no such host, not TLS: 69" {
	read -r port < <(free_ports 1)
	says 69 "Failed to connect .*; check host and port" "s3:http://k:not-the-key@127.0.0.1:$port/?bucket=b&max_connect_retries=1"
	says 69 "Could not resolve host" "s3:http://k:not-the-key@nohost.invalid/?bucket=b&max_connect_retries=0"
	says 69 "does that port speak TLS" "s3:https://k:not-the-key@$HOST/?bucket=b&max_connect_retries=0"
}
