# Our own program among the peers of peers.sh: metacache-flushall to the same sink.
# Each run starts with trees that were never uploaded.

prepare_flushall() {
	find "$tree" -name .state -delete
	rm -rf "$scratch/state" "$tree/.trash"
	mkdir "$scratch/state"
	cat >"$scratch/metacache.conf" <<-CONF
		mail_home = $tree/%2Mu/%u
		obox_index_fs = s3:$url/?bucket=bench
		state_dir = $scratch/state
	CONF
}

peer_flushall() {
	"$build/bin/metacache-flushall" -q -c "$scratch/metacache.conf" >/dev/null
}

# The bare pipeline with the requests that ours makes: one listing a user.
peer_barehome() {
	"$build/tests/bench/barepipe" --lists home "$tree" "$url/bench" >/dev/null
}
