#!/usr/bin/env bats
bats_require_minimum_version 1.5.0

# s3sink itself: a test that relies on a fault must know that it happens.
# `make test-tools` first.

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	tools=$(cd "$root" && cd "${BUILD:-build}" && pwd)/tests/fault
	cd "$BATS_TEST_TMPDIR" || return
	printf 'hello\n' >hello
}

teardown() {
	[ -z "${sink:-}" ] || kill "$sink"
}

# start OPTION…: the sink's address in $url.
start() {
	"$tools/s3sink" --die-with-parent "$@" >url &
	sink=$!
	for _ in $(seq 100); do [ -s url ] && break; sleep 0.05; done
	url=$(cat url)
}

put() { curl -sSf -T hello "$@"; }
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
counter() { curl -sSf "$url/_counters" | jq "$1"; }
keys() { grep -o '<Key>[^<]*' | cut -c6- | paste -sd' '; }
rule() { curl -sSf -o /dev/null --data-binary "$1" "$url/_fault"; }

@test "an object comes back with its metadata, length and MD5" {
	start
	put -H 'x-amz-meta-dovecot-size: 7' "$url/bench/a%20b%2Bc/d"
	run -0 curl -sSfi "$url/bench/a%20b%2Bc/d"
	[[ "$output" == *"x-amz-meta-dovecot-size: 7"* ]]
	[[ "$output" == *"ETag: \"$(md5sum <hello | cut -d' ' -f1)\""* ]]
	[[ "$output" == *hello ]]
	run -0 curl -sSfI "$url/bench/a%20b%2Bc/d"
	[[ "$output" == *"Content-Length: 6"* ]]
	[ "$(curl -sSf -r 1-3 "$url/bench/a%20b%2Bc/d")" = ell ]
	[ "$(status -r 6- "$url/bench/a%20b%2Bc/d")" = 416 ]
	[ "$(status -T hello -H 'If-None-Match: *' "$url/bench/a%20b%2Bc/d")" = 412 ]
	[ "$(status -X DELETE "$url/bench/a%20b%2Bc/d")" = 204 ]
	[ "$(status "$url/bench/a%20b%2Bc/d")" = 404 ]
}

@test "a listing is ordered, and whole over pages of any size" {
	start
	for k in b/2 a/1 b/10 c b/1/x b/1/y a-; do put "$url/bench/$k"; done
	[ "$(curl -sSf "$url/bench?list-type=2" | keys)" = "a- a/1 b/1/x b/1/y b/10 b/2 c" ]
	[ "$(curl -sSf "$url/bench?list-type=2&prefix=b/&start-after=b/10" | keys)" = b/2 ]
	for max in 1 2 3 7; do
		for delimiter in "" /; do
			token='' all=''
			for _ in $(seq 9); do
				page=$(curl -sSf "$url/bench?list-type=2&max-keys=$max&delimiter=$delimiter${token:+&continuation-token=$token}")
				all+=" $(grep -o '<\(Key\|Prefix\)>[^<]\+' <<<"$page" | sed 's/.*>//' | sort | paste -sd' ')"
				token=$(sed -n 's/.*<NextContinuationToken>\([^<]*\).*/\1/p' <<<"$page")
				[ -n "$token" ] || break
			done
			want="a- a/1 b/1/x b/1/y b/10 b/2 c"
			[ -z "$delimiter" ] || want="a- a/ b/ c"
			[ "$(tr ' ' '\n' <<<"$all" | grep . | sort | paste -sd' ')" = "$want" ]
		done
	done
	run -0 curl -sSf "$url/bench?prefix=b/&delimiter=/&max-keys=1"
	[[ "$output" == *"<NextMarker>b/1/</NextMarker>"* ]]
	[ "$(curl -sSf "$url/bench?prefix=b/&delimiter=/&marker=b/1/" | keys)" = "b/10 b/2" ]
}

@test "names are escaped, or percent-encoded when asked for" {
	start
	put "$url/bench/%3Ca%26b%3E%20%C3%A9"
	run -0 curl -sSf "$url/bench?list-type=2"
	[[ "$output" == *"<Key>&#x3c;a&#x26;b&#x3e; é</Key>"* ]]
	run -0 curl -sSf "$url/bench?list-type=2&encoding-type=url"
	[[ "$output" == *"<Key>%3Ca%26b%3E%20%C3%A9</Key>"* ]]
}

@test "a batched delete deletes, reports, and refuses bad XML" {
	start
	for k in a b c d; do put "$url/bench/$k"; done
	run -0 curl -sSf -d '<Delete><Object><Key>a</Key></Object><Object><Key>no&lt;</Key></Object></Delete>' "$url/bench?delete"
	[ "$(grep -o '<Deleted>' <<<"$output" | wc -l)" = 2 ]
	run -0 curl -sSf -d '<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>' "$url/bench?delete"
	[[ "$output" != *"<Deleted>"* ]]
	[ "$(curl -sSf "$url/bench?list-type=2" | keys)" = "c d" ]
	[ "$(status -d '<Delete><Object><Key>c' "$url/bench?delete")" = 400 ]
	rule 'do=partial'
	run -0 curl -sSf -d '<Delete><Object><Key>c</Key></Object><Object><Key>d</Key></Object></Delete>' "$url/bench?delete"
	[[ "$output" == *"<Error><Key>d</Key>"* ]]
	[ "$(curl -sSf "$url/bench?list-type=2" | keys)" = d ]
}

@test "another key, no key and another bucket are refused" {
	start --require-key GOOD --bucket mails
	[ "$(status "$url/mails?list-type=2")" = 403 ]
	run -0 curl -s -H 'Authorization: AWS4-HMAC-SHA256 Credential=BAD/20260101/r/s3/aws4_request' "$url/mails/x"
	[[ "$output" == *InvalidAccessKeyId* ]]
	good='Authorization: AWS4-HMAC-SHA256 Credential=GOOD/20260101/r/s3/aws4_request'
	[ "$(status -H "$good" "$url/mails?list-type=2")" = 200 ]
	run -0 curl -s -H "$good" "$url/bench/x"
	[[ "$output" == *NoSuchBucket* ]]
}

@test "an answer in place of what was asked for, and nothing is stored" {
	start
	for code in 403 404 429 500 503; do
		rule "kind=put do=$code"
		[ "$(status -T hello "$url/bench/x")" = "$code" ]
	done
	rule 'kind=put do=reset'
	run -56 put "$url/bench/x"
	rule 'kind=put do=close'
	run -52 put "$url/bench/x"
	rule 'kind=put do=garbage'
	run -0 put "$url/bench/x"
	[[ "$output" == *"<Error>"* ]]
	rule 'kind=put do=200-empty'
	run -0 put "$url/bench/x"
	[ "$(counter .objects)" = 0 ]
	[ "$(counter .faults)" = 9 ]
	put "$url/bench/x"
	[ "$(counter .objects)" = 1 ]
}

@test "a lost reply, a short body, a wrong bit, a slow answer" {
	start
	rule 'kind=put do=close-before-reply'
	run -52 put "$url/bench/x"
	[ "$(curl -sSf "$url/bench/x")" = hello ]
	rule 'kind=get do=truncate-body'
	run -18 curl -sSf "$url/bench/x"
	rule 'kind=get do=corrupt'
	run -0 curl -sSf "$url/bench/x"
	[ "${#output}" = 5 ]
	[ "$output" != hello ]
	rule 'kind=get do=slow=700'
	run -28 curl -sSf -m 0.2 "$url/bench/x"
	run -0 curl -sSf "$url/bench/x"
	[ "$output" = hello ]
}

@test "listings that lie" {
	start
	put "$url/bench/p/x"
	list="$url/bench?list-type=2&prefix=p/"
	rule 'kind=list do=bad-xml'
	run ! xmllint_or_expat "$(curl -sSf "$list")"
	rule 'kind=list do=doctype'
	[[ "$(curl -sSf "$list")" == *"<!DOCTYPE"* ]]
	rule 'kind=list do=foreign-keys'
	[[ "$(curl -sSf "$list")" == *"<Key>../../etc/passwd</Key>"* ]]
	rule 'kind=list do=no-token'
	run -0 curl -sSf "$list"
	[[ "$output" == *"<IsTruncated>true"* ]]
	[[ "$output" != *"NextContinuationToken"* ]]
	rule 'kind=list do=same-token count=0'
	[ "$(curl -sSf "$list")" = "$(curl -sSf "$list&continuation-token=t")" ]
	rule $'clear\nkind=list do=huge-xml'
	run -63 curl -sSf --max-filesize 100000 -o /dev/null "$list"
}

xmllint_or_expat() {
	python3 -c 'import sys, xml.parsers.expat as e; e.ParserCreate().Parse(sys.argv[1], True)' "$1"
}

@test "rules: nth, count, key, on the command line, and all or none of a bad text" {
	start 'kind=put nth=2 count=2 key=/idx/ do=500'
	codes=
	for k in idx/1 other idx/2 idx/3 idx/4; do codes+=" $(status -T hello "$url/bench/u/$k")"; done
	[ "$codes" = " 200 200 500 500 200" ]
	[ "$(status -d $'kind=put do=500\nkind=put do=nonsense' "$url/_fault")" = 400 ]
	put "$url/bench/y"
	run -64 "$tools/s3sink" 'kind=nonsense do=500'
}

@test "counters count, are reset, and know connections" {
	start
	curl -sSf -T hello "$url/bench/a" -T hello "$url/bench/b"
	[ "$(counter .put.requests)" = 2 ]
	[ "$(counter .put.bytes_in)" = 12 ]
	[ "$(counter .connections)" = 4 ] # the PUTs shared one
	[ "$(curl -sSf "$url/_dump" | jq -r '.[] | "\(.key) \(.size)"' | paste -sd,)" = "bench/a 6,bench/b 6" ]
	curl -sSf -X POST "$url/_reset"
	[ "$(counter .put.requests)" = 0 ]
	curl -sSf -X POST "$url/_clear"
	[ "$(counter .objects)" = 0 ]
}

@test "aws-chunked bodies are stored without their frames" {
	start
	printf '3;chunk-signature=00\r\nhel\r\n3;chunk-signature=00\r\nlo\n\r\n0;chunk-signature=00\r\n\r\n' >framed
	curl -sSf -H 'x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD' -T framed "$url/bench/x"
	[ "$(curl -sSf "$url/bench/x")" = hello ]
	[ "$(curl -sSf "$url/_dump" | jq '.[0].size')" = 6 ]
}
