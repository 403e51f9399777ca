# Our own program among the peers of peers.sh: metacache-flushall to the same sink.
# Each run has a copy of the tree that was never uploaded; old copies stay until the
# end, since ext4 is slow to make files where thousands were just deleted.

copies=0

prepare_flushall() {
	copies=$((copies + 1))
	cp -a "$tree" "$scratch/copy$copies"
	rm -rf "$scratch/state"
	mkdir "$scratch/state"
	cat >"$scratch/metacache.conf" <<-CONF
		mail_home = $scratch/copy$copies/%2Mu/%u
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
