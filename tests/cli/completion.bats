#!/usr/bin/env bats
# bash completion: what it offers is what the programs' --help says.

bats_require_minimum_version 1.5.0

setup() {
	PATH=$(cd "$BIN" && pwd):$PATH
	compopt() { :; } # only known within a real completion
	. "$BATS_TEST_DIRNAME/../../scripts/completion/metacache-tools.bash"
}

offered() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_metacache_tools "$1"
	echo "${COMPREPLY[*]}"
}

@test "options are those of the program" {
	[ "$(offered metacache-list --f)" = "--format --field" ]
	[ "$(offered metacache-flush --fi)" = "--file --field" ]
	[[ " $(offered metacache-flush -) " == *" -i --important --due -p --priority --overwrite "* ]]
	[[ " $(offered metacache-list -) " != *" --important "* ]]
}

@test "values that have choices" {
	[ "$(offered metacache-list -f t)" = "tab table" ]
	[ "$(offered metacache-list --format = js)" = "json jsonl" ]
	[ "$(offered metacache-list --format =)" = "flow pager tab table json jsonl" ]
	[ "$(offered metacache-list --log '')" = "stderr syslog" ]
	[ "$(offered metacache-list --sort '')" = "weight last-access size username" ]
	[ "$(offered metacache-list --sort = l)" = "last-access" ]
	[ "$(offered metacache-status -f p)" = "pager prometheus" ]
	[ "$(offered metacache-status --format = js)" = "json jsonl" ]
	[ "$(offered metacache-list --log-format j)" = "json" ]
}

@test "what metacache-boot does" {
	[ "$(offered metacache-boot st)" = "start stop status" ]
	[ "$(offered metacache-boot -c x sta)" = "start status" ]
	# Each that is offered is one.
	for step in $(offered metacache-drain --from ''); do
		run -78 metacache-drain -c /dev/null --from "$step"
	done
	[ "$(offered metacache-drain --from = kick)" = "kick-1 kick-2" ]
}

@test "files" {
	cd "$BATS_TEST_TMPDIR"
	touch 'my conf'
	[ "$(offered metacache-list -c my)" = "my conf" ]
	[ "$(offered metacache-flush -F my)" = "my conf" ]
	[ "$(offered metacache-status --output my)" = "my conf" ]
	[ "$(offered metacache-list mask)" = "" ]
}

@test "every program is known" {
	for program in "$BIN"/*; do
		complete -p "${program##*/}"
	done
}
