#!/usr/bin/env bats
# metacache-config: every setting, where it comes from, and no secret.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/../json.bash"
	BIN=$(cd "$BIN" && pwd)
	cd "$BATS_TEST_TMPDIR" || return 1
	cat >conf <<-'CONF'
		mail_home = /srv/%u
		obox_index_fs = s3:https://KEY:SECRETVALUE@s3.example.com/?bucket=b
		doveadm_api_key = SECRETVALUE
		metacache_size_weights =
	CONF
}

teardown() { json_valid; }

config() { json_kept "$BIN/metacache-config" -c conf "$@"; }

@test "json and jsonl: the same rows, one for each setting of the manual page, all text" {
	config -f json | jq -c '.settings[]' >rows
	diff rows <(config -f jsonl)
	diff <(jq -r .key rows | sort) <(
		sed -n '/^\.Sh STORE URLS/q; s/^\.It Cm //p' "$BATS_TEST_DIRNAME/../../cmd/config/metacache.conf.5" | tr -s ', ' '\n' | sort
	)
	[ "$(jq -rs 'map(.value | type) | unique[]' rows)" = string ]
}

@test "where each value comes from; an empty one is set too" {
	[ "$(config -f json -o metacache_max_space=1G mail_home metacache_max_space metacache_max_grace metacache_size_weights |
		jq -c '.settings[] | [.key, .value, .source]' | paste -sd' ')" = \
		'["mail_home","/srv/%u","file"] ["metacache_max_space","1G","override"] ["metacache_max_grace","1G","default"] ["metacache_size_weights","","file"]' ]
	[ "$(config -f tab --field source mail_home | tail -1)" = file ]
	[ "$(config -f json --field source mail_home | jq -c .)" = '{"settings":[{"source":"file"}]}' ]
}

@test "no secret is shown" {
	config -f json >out
	grep -q s3.example.com out
	run -1 grep SECRETVALUE out
}

@test "64: no such setting; 74: stdout is full; 78: a bad value, with file, line, key and what is accepted" {
	run -64 --separate-stderr config -f json mail_hom
	[[ "$stderr" == 'metacache-config: no such setting: "mail_hom"'* && -z "$output" ]]
	run -74 --separate-stderr bash -c "'$BIN/metacache-config' -c conf -f json >/dev/full"
	[[ "$stderr" == *"No space left on device"* ]]
	echo 'metacache_priority_weights = 10% +1d' >>conf
	run -78 --separate-stderr config -f json
	[ "$stderr" = 'metacache-config: conf: line 5: metacache_priority_weights = "10% +1d" is not a percentage and a time for each of the 4 priorities (accepted: e.g. 10% +1d 10% +1d 50% +1h 100% 0; or nothing)' ]
}

@test "a store that can't be is 78, and the settings are shown all the same" {
	run -78 --separate-stderr config -f json -o 'obox_index_fs=s3:http://127.0.0.1/?bucket=b&nope=1'
	[[ "$stderr" == "metacache-config: obox_index_fs: s3: unknown parameter 'nope' "* ]]
	[[ "$output" == *'"obox_index_fs"'* ]]
	run -78 --separate-stderr config -f json -o 'obox_fs=fscache:1G:/cache:nosuch:/x'
	[[ "$stderr" == "metacache-config: obox_fs: "* ]]
}
