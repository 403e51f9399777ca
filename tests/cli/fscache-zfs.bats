#!/usr/bin/env bats
# The commands of the mail cache on ZFS, whose block counts are no measure.

bats_require_minimum_version 1.5.0

setup() {
	. "$BATS_TEST_DIRNAME/fscache.bash"
	mkdir -p "$cache"
	conf
	printf 'a mail\n' >store/mail
	cat >zfs.c <<-'C'
		#include <sys/vfs.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int fstatfs(int fd, struct statfs *fs)
		{
			int ret = (int)syscall(SYS_fstatfs, fd, fs);
			fs->f_type = 0x2fc12fc1;
			return ret;
		}
		int fstatfs64(int fd, struct statfs64 *fs)
		{
			return fstatfs(fd, (struct statfs *)fs);
		}
	C
	${CC:-cc} -D_GNU_SOURCE -shared -fPIC -o zfs.so zfs.c
}

# on_zfs CODE PROGRAM ARG…: that exit code, and a line about it.
on_zfs() {
	local code=$1 program=$2 status=0
	shift 2
	LD_PRELOAD=$PWD/zfs.so "$BIN/$program" -c conf "$@" >out 2>err || status=$?
	[ "$status" = "$code" ] && cat out err | grep -q 'it is on ZFS' && return
	echo "exit code $status, not $code, or nothing of ZFS:"
	cat out err
	return 1
}

@test "fscache-fetch: the object, 65, and nothing is kept" {
	for _ in 1 2; do
		on_zfs 65 fscache-fetch -O object mail
		cmp object store/mail
		grep -q passed out
	done
	[ -z "$(ls -A "$cache")" ]
	# A key that is wrong stays that, and one that is not there.
	LD_PRELOAD=$PWD/zfs.so run -64 "$BIN/fscache-fetch" -c conf ../mail
	LD_PRELOAD=$PWD/zfs.so run -66 "$BIN/fscache-fetch" -c conf none
}

@test "fscache-status: 65, and critical as a plugin" {
	made 20
	on_zfs 65 fscache-status "$cache"
	on_zfs 2 fscache-status --check "$cache"
	[[ "$(<out)" == "FSCACHE CRITICAL"* ]]
}

@test "fscache-rescan: 65, and the log stays as it is" {
	made 5
	before=$(sha256sum "$cache/fscache.log")
	on_zfs 65 fscache-rescan "$cache"
	[ "$(sha256sum "$cache/fscache.log")" = "$before" ]
}
