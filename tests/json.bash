# Every JSON and JSON Lines output that a test asks for is held to its schema. To be sourced:
# programs run through json_kept, and json_valid ends the teardown.

TESTS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# json_kept COMMAND…: runs it; if it was asked for JSON, its output is kept.
json_kept() {
	local kept status
	case " $* " in
	*' -f json'* | *' --format=json'* | *' --format json'*) ;;
	*)
		"$@"
		return
		;;
	esac
	mkdir -p "$BATS_TEST_TMPDIR/json"
	kept=$(mktemp -d "$BATS_TEST_TMPDIR/json/XXXXXX")
	printf '%s\0' "$@" >"$kept/command"
	# A reader that has seen enough does not cut what is kept.
	"$@" | tee -p "$kept/output"
	status=${PIPESTATUS[0]}
	echo "$status" >"$kept/status"
	return "$status"
}

# What was kept in this test is valid; one process for all of it.
json_valid() { [ ! -d "$BATS_TEST_TMPDIR/json" ] || "$TESTS_DIR/valid-json" "$BATS_TEST_TMPDIR/json"; }
