#!/usr/bin/env bats
# The schemas refuse what is not promised: else that every output passes would mean nothing.

setup() {
	. "$BATS_TEST_DIRNAME/../json.bash"
	kept=$BATS_TEST_TMPDIR/json/one
	mkdir -p "$kept"
	row='{"username":"u","result":"uploaded","uploaded":3,"unchanged":0,"skipped":0,"obsolete":0,"conflicts":0,"busy":0,"failed":0,"bytes":9,"duration_ms":1,"error":null}'
	summary='{"users":1,"flushed":1,"conflicts":0,"busy":0,"failed":0,"uploaded":3,"unchanged":0,"skipped":0,"obsolete":0,"bytes":9,"deleted":0,"requests":4,"retries":0,"puts":3,"lists":1,"deletes":0,"duration_ms":1}'
	whole='{"users":['$row'],"summary":'$summary'}'
}

# keep FORMAT OUTPUT [STATUS [ARG…]]: as if metacache-flush had printed that.
keep() {
	printf '%s\0' /x/metacache-flush -f "$1" "${@:4}" >"$kept/command"
	printf %s "$2" >"$kept/output"
	echo "${3:-0}" >"$kept/status"
}

# refused TEXT FORMAT OUTPUT [STATUS [ARG…]]
refused() {
	keep "${@:2}"
	run -65 --separate-stderr json_valid
	[[ "$stderr" == *"metacache-flush -f $2"*"$1"* ]] && return
	echo "$stderr"
	return 1
}

bats_require_minimum_version 1.5.0

@test "what is promised passes" {
	keep json "$whole" && json_valid
	keep json '{"users":[],"summary":'"$summary"'}' && json_valid
	keep jsonl "$row"$'\n{"summary":'"$summary"$'}\n' && json_valid
	keep jsonl '{"summary":'"$summary"'}' && json_valid
	keep json '' 75 && json_valid
	keep jsonl '' 0 && printf '%s\0' /x/metacache-list -f jsonl >"$kept/command" && json_valid
	keep json '{"users":[{"result":"conflict"}],"summary":'"$summary"'}' 65 --field result && json_valid
}

@test "a member too many, one missing, one twice" {
	refused "Additional properties are not allowed ('more' was unexpected)" json "${whole/'"bytes"'/'"more":1,"bytes"'}"
	refused 'Additional properties' json "${whole/%'}'/,'"more":[]}'}"
	refused "'busy' is a required property" json "${whole/'"busy":0,'/}"
	refused "'summary' is a required property" json '{"users":[]}'
	refused 'a member is there twice' json "${whole/'"busy"'/'"busy":0,"busy"'}"
}

@test "a wrong type, a number below 0, an unknown outcome" {
	refused "'3' is not of type 'integer'" json "${whole/:3/':"3"'}"
	refused "2.5 is not of type 'integer'" json "${whole/:3/:2.5}"
	refused "-3 is less than the minimum of 0" json "${whole/:3/:-3}"
	refused "True is not of type 'integer'" json "${whole/:3/:true}"
	refused "None is not of type 'string'" json "${whole/'"u"'/null}"
	refused "'done' is not one of" json "${whole/'"uploaded"'/'"done"'}"
	refused "'done' is not one of" json '{"users":[{"result":"done"}],"summary":'"$summary"'}' 0 --field=result
}

@test "an error where there is none, none where there is one" {
	refused "'oops' is not of type 'null'" json "${whole/null/'"oops"'}"
	refused "None is not of type 'string'" json "${whole/'"uploaded"'/'"conflict"'}" 65
}

@test "text that is not JSON" {
	refused 'there is no output' json ''
	refused 'Expecting' json "${whole%??}" 0
	refused 'Expecting' json "${whole%??}" 74
	refused 'Extra data' json "$whole$whole"
	refused 'NaN is no JSON' json "${whole/:3/:NaN}"
	refused 'Invalid control character' json "${whole/'"u"'/$'"u\n"'}"
	refused "codec can't decode" json "${whole/'"u"'/$'"\xff"'}"
}

@test "JSON Lines: each line is a row, and the summary is the last, once" {
	line='{"summary":'$summary'}'
	refused 'line 1: a summary is the last line' jsonl "$row"
	refused 'line 1: a summary is the last line' jsonl "$line"$'\n'"$row"$'\n'"$line"
	refused 'line 1: a summary is the last line' jsonl "$line"$'\n'"$line"
	refused 'line 1: $: ' jsonl "5"$'\n'"$line"
	refused 'line 1: $: ' jsonl "[$row]"$'\n'"$line"
	refused 'line 2: $: ' jsonl "$row"$'\n{"busy":0}\n'"$line"
	refused 'there is no output' jsonl ''
}

@test "a command without a schema, and a test that kept nothing" {
	keep json "$whole"
	printf '%s\0' /x/metacache-none -f json >"$kept/command"
	run ! json_valid
	rm -r "$kept"
	run ! json_valid
}
