#!/usr/bin/env bats
# The jobs as they are installed: cron lines and systemd units as written, the scripts, and that no run
# is joined by another.

setup_file() {
	export PREFIX_DIR=$BATS_FILE_TMPDIR/prefix
	make -s -C "$BATS_TEST_DIRNAME/../.." BUILD="$(cd "$BIN/.." && pwd)" PREFIX="$PREFIX_DIR" install >&2
}

setup() {
	. "$BATS_TEST_DIRNAME/world.bash"
	LIB=$PREFIX_DIR/lib/metacache-tools
	out=$BATS_TEST_TMPDIR/out
}

# as_installed COMMAND…: where /etc/metacache/metacache.conf is this world's, and /usr/local this
# installation.
as_installed() {
	mkdir -p "$BATS_TEST_TMPDIR/etc" "$BATS_TEST_TMPDIR/prom" "$BATS_TEST_TMPDIR/etcdir"
	cp "$W/here/conf" "$BATS_TEST_TMPDIR/etc/metacache.conf"
	ETC=$BATS_TEST_TMPDIR/etc PROM=$BATS_TEST_TMPDIR/prom unshare -m bash -ec '
		mount -t tmpfs tmpfs /var/lib
		mkdir -p /var/lib/prometheus/node-exporter
		mount --bind "$PROM" /var/lib/prometheus/node-exporter
		mount -t tmpfs tmpfs /mnt
		mkdir -p /mnt/upper /mnt/work
		mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
		mkdir -p /etc/metacache
		cp "$ETC/metacache.conf" /etc/metacache/
		mount --bind "$PREFIX_DIR" /usr/local
		"$@"' as_installed "$@"
}

# The commands of the crontab, those that are commented out, too.
cron_commands() { sed -n 's/^#\{0,1\}\([*0-9@][^\t]*\)\troot\t//p' "$PROJECT_DIR/cron/metacache-tools"; }
cron_environment() { sed -n 's/^PATH=//p' "$PROJECT_DIR/cron/metacache-tools"; }

# What the jobs that are not for everybody need.
with_all_jobs() {
	mkdir "$W/mails" "$W/cache"
	printf 'metacache_max_space = 1T\nobox_fs = fscache:64M:%s:posix:%s\n' "$W/cache" "$W/mails" >>"$W/here/conf"
}

@test "every cron line does its work as written, and says nothing" {
	users 2
	with_all_jobs
	cron_commands >"$BATS_TEST_TMPDIR/commands"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/commands")" -ge 7 ]
	for program in flushall rescan verify status clean boot; do
		grep -q "metacache-$program" "$BATS_TEST_TMPDIR/commands"
	done
	# As cron has it: /bin/sh, its PATH, hardly any environment. boot first, as its line says when.
	{ grep 'metacache-boot' "$BATS_TEST_TMPDIR/commands"; grep -v 'metacache-boot' "$BATS_TEST_TMPDIR/commands"; } |
		while IFS= read -r command; do
			as_installed env -i HOME=/root PATH="$(cron_environment)" LOGNAME=root /bin/sh -c "$command" \
				>"$out" 2>&1 </dev/null || [ $? = 1 ] || { echo "$command"; cat "$out"; exit 1; }
			# verify finds nothing either, but its summary is shown.
			[[ $command == *metacache-verify* ]] || [ ! -s "$out" ] || { echo "$command"; cat "$out"; exit 1; }
		done
	diff <(tree_of "$idx") <(storage_of)
	[ "$(fields changes list | sort -u)" = none ]
	[ "$(mc boot status -f json | jq -r '.boots[].state')" = running ]
	grep -q '^metacache_' "$BATS_TEST_TMPDIR/prom/metacache.prom"
}

@test "cron lines tell what goes wrong" {
	users 1
	sed -i 's,^obox_index_fs.*,obox_index_fs = posix:/nowhere,' "$W/here/conf"
	command=$(cron_commands | grep -- --due)
	as_installed env -i PATH="$(cron_environment)" /bin/sh -c "$command" >"$out" 2>&1 || true
	grep -q 'metacache-flushall: .*nowhere' "$out"
}

# Somebody has all runs locked.
hold_runs() {
	python3 - "$W/here/state/run.lock" 3>&- <<-'PY' >"$BATS_TEST_TMPDIR/held" &
		import fcntl, os, struct, sys, time
		fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
		fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
		print("held", flush=True)
		time.sleep(600)
	PY
	holder=$!
	for _ in $(seq 500); do [ -s "$BATS_TEST_TMPDIR/held" ] && return; sleep 0.02; done
	return 1
}

@test "a second run is refused at once with 75, and in cron that is no mail" {
	users 1
	with_all_jobs
	hold_runs
	remember
	for run in flushall 'flushall --due' 'flushall -i' rescan 'clean -A --max-space' 'verify -A' drain 'prune -A --delete' 'prune --delete user*'; do
		says 75 " is running" $run
		untouched
	done
	cron_commands | grep -v 'metacache-status\|metacache-boot' | while IFS= read -r command; do
		as_installed env -i PATH="$(cron_environment)" /bin/sh -c "$command" >"$out" 2>&1 || [ $? = 1 ]
		[ ! -s "$out" ] || { echo "$command"; cat "$out"; exit 1; }
	done
	untouched
	# What is for some users only, or changes nothing, is not.
	mc flushall -n -q >/dev/null
	mc verify -q -u "$user" >/dev/null || [ $? = 65 ]
	mc flush -q -u "$user" >/dev/null
	mc flushall -q '*' >/dev/null
	printf 'director = map:%s\n' "$BATS_TEST_TMPDIR/map" >>"$W/here/conf"
	printf '%s\there\n' "$user" >"$BATS_TEST_TMPDIR/map"
	for some in -A "-A -n --delete" "--delete -u $user"; do mc prune -q --older-than 0 $some >/dev/null; done
	release
	mc flushall -q >/dev/null
}

@test "the background upload goes on while everything is uploaded, and the other way round" {
	users 1
	mc flushall -q >/dev/null
	# Each of the two is held by a run that waits for the user's lock.
	world_change
	hold_user_locks
	"$BIN/metacache-flushall" -q -c "$W/here/conf" -o user_lock_timeout=60s >/dev/null 2>&1 3>&- &
	first=$!
	for _ in $(seq 500); do
		mc flushall -q -o user_lock_timeout=0 >/dev/null 2>"$BATS_TEST_TMPDIR/err" || true
		grep -q 'another metacache-flushall is running' "$BATS_TEST_TMPDIR/err" && break
		sleep 0.02
	done
	grep -q 'another metacache-flushall is running' "$BATS_TEST_TMPDIR/err"
	mc flushall -i -q -o user_lock_timeout=0 >/dev/null 2>"$BATS_TEST_TMPDIR/err" || [ $? = 75 ]
	run -1 grep 'is running' "$BATS_TEST_TMPDIR/err"
	kill "$first"
	wait "$first" || true
	# A killed run holds nothing.
	release
	mc flushall -q >/dev/null
}

@test "systemd units: verified as installed, hardened, and none hides /proc" {
	units=$PREFIX_DIR/lib/systemd/system
	[ "$(ls "$units" | wc -l)" = "$(ls "$PROJECT_DIR/systemd" | wc -l)" ]
	# Dovecot's own unit need not be there.
	printf '[Service]\nExecStart=/bin/true\n' >"$BATS_TEST_TMPDIR/dovecot.service"
	MANPATH=$PREFIX_DIR/share/man SYSTEMD_UNIT_PATH=$units:$BATS_TEST_TMPDIR: \
		systemd-analyze verify "$units"/*.service "$units"/*.timer >"$out" 2>&1 || { cat "$out"; return 1; }
	# What it finds in others' units is not ours.
	run -1 grep metacache "$out"
	run -1 grep -rE '^(ProtectProc|ProcSubset|PrivatePIDs|ProtectKernelTunables|ProtectControlGroups|MountAPIVFS|RootDirectory|RootImage)=' "$units"
	for unit in "$units"/*.service; do
		grep -q '^NoNewPrivileges=yes' "$unit"
		exposure=$(systemd-analyze security --offline=true "$unit" 2>/dev/null | sed -n 's/.*exposure level for [^:]*: \([0-9]*\)\..*/\1/p')
		[ "$exposure" -le 5 ] || { echo "$unit: $exposure"; return 1; }
	done
	# Every timer has its service, and every command is there.
	for timer in "$units"/*.timer; do [ -e "${timer%timer}service" ]; done
	sed -n 's/^Exec[A-Za-z]*=[-+]*\([^ ]*\).*/\1/p' "$units"/*.service | sort -u | while read -r program; do
		[ -x "$program" ]
	done
	run -1 grep -rl /usr/local "$units" "$LIB"/drain-on-stop
}

@test "systemd units: their commands work as written" {
	users 1
	with_all_jobs
	for unit in metacache-{boot,flush-due,flushall,rescan,clean,verify} fscache-rescan; do
		command=$(sed -n 's/^ExecStart=//p' "$PROJECT_DIR/systemd/$unit.service")
		as_installed $command >"$out" 2>"$BATS_TEST_TMPDIR/err" || { echo "$command"; cat "$BATS_TEST_TMPDIR/err"; return 1; }
		tail -1 "$out" | jq -e . >/dev/null
		[ ! -s "$BATS_TEST_TMPDIR/err" ]
	done
	as_installed $(sed -n 's/^ExecStop=//p' "$PROJECT_DIR/systemd/metacache-boot.service") >/dev/null
	[ "$(mc boot status -f json | jq -r '.boots[].state')" = stopped ]
	# Dovecot is started again in the same boot.
	as_installed $(sed -n 's/^ExecStart=-//p' "$PROJECT_DIR/systemd/metacache-flush.service") >/dev/null
	[ "$(mc boot status -f json | jq -r '.boots[].state')" = running ]
}

@test "drain-on-stop: drains when Dovecot is being stopped, and else does nothing" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/systemctl" <<-'SH'
		#!/bin/sh
		echo "$*" >>"$T/asked"
		cat "$T/jobs"
	SH
	printf '#!/bin/sh\necho "$@" >>"$T/drained"\nexit 75\n' >"$BATS_TEST_TMPDIR/bin/drain"
	chmod +x "$BATS_TEST_TMPDIR"/bin/*
	export T=$BATS_TEST_TMPDIR METACACHE_DRAIN=$BATS_TEST_TMPDIR/bin/drain
	stop() { PATH=$T/bin:$PATH "$LIB/drain-on-stop"; }
	for job in '' '12 dovecot.service restart waiting' '12 dovecot.service start running'; do
		echo "$job" >"$T/jobs"
		run -0 stop
		[[ "$output" == 'dovecot.service is not being stopped'* ]]
		[ ! -e "$T/drained" ]
	done
	grep -q 'list-jobs .*dovecot.service' "$T/asked"
	echo '12 dovecot.service stop waiting' >"$T/jobs"
	run -75 stop
	[ "$(<"$T/drained")" = '-f jsonl --force' ]
	METACACHE_DRAIN_OPTIONS='--all-changes --service lmtp' run -75 stop
	[ "$(tail -1 "$T/drained")" = '-f jsonl --force --all-changes --service lmtp' ]
}

@test "drain-on-stop: one user who can't be uploaded keeps nobody else's changes here" {
	users 2
	mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/s"
	printf '#!/bin/sh\necho "12 dovecot.service stop waiting"\n' >"$BATS_TEST_TMPDIR/bin/systemctl"
	chmod +x "$BATS_TEST_TMPDIR/bin/systemctl"
	"$BATS_TEST_DIRNAME/drain-standin" "$BATS_TEST_TMPDIR/s" >"$BATS_TEST_TMPDIR/s/url" 3>&- &
	standin=$!
	for _ in $(seq 500); do [ ! -s "$BATS_TEST_TMPDIR/s/url" ] || break; sleep 0.02; done
	printf 'doveadm_url = %s\ndoveadm_api_key = x\n' "$(<"$BATS_TEST_TMPDIR/s/url")" >>"$W/here/conf"
	# Dovecot does not let go of one user's index.
	hold "$home/dovecot.list.index.log" 0 0
	PATH=$BATS_TEST_TMPDIR/bin:$PATH METACACHE_DRAIN_OPTIONS="-o index_lock_timeout=0" \
		run -75 --separate-stderr as_installed "$LIB/drain-on-stop"
	kill "$standin"
	echo "$output" | jq -r 'select(.step) | .step + "=" + .result' | grep -qx 'flush-1=failed'
	echo "$output" | jq -r 'select(.step) | .step + "=" + .result' | grep -qx 'kick-2=done'
	[ "$(paste -sd, "$BATS_TEST_TMPDIR/s/log")" = 'stop imap-login,stop lmtp,kick *,kick *' ]
	diff <(tree_of "$idx" | grep -F "${USERS[1]}") <(storage_of | grep -F "${USERS[1]}")
}

@test "pre-shutdown-prune: a plan without --delete; with it, uploaded and pruned" {
	users 2 flushed
	printf '%s\tthere\n%s\there\n' "${USERS[0]}" "${USERS[1]}" >"$BATS_TEST_TMPDIR/map"
	printf 'director = map:%s\n' "$BATS_TEST_TMPDIR/map" >>"$W/here/conf"
	export METACACHE_BIN=$PREFIX_DIR/bin METACACHE_CONF=$W/here/conf
	world_change
	remember
	"$LIB/pre-shutdown-prune" --older-than 0 -q -f jsonl >"$out"
	untouched
	[ "$(jq -r 'select(.username) | .decision' "$out" | sort | paste -sd' ')" = 'flush keep' ]
	"$LIB/pre-shutdown-prune" --delete --older-than 0 -q -f jsonl >"$out"
	[ ! -e "$home" ]
	[ "$(mc list --field username | tail -n +2)" = "${USERS[1]}" ]
	[ "$(fields changes list)" = none ]
}

@test "summary-to-prometheus: what a run came to, for node_exporter; half a run leaves the file alone" {
	users 1
	mkdir "$W/prom"
	mc flushall -q -f jsonl | "$LIB/summary-to-prometheus" flushall "$W/prom"
	promtool check metrics <"$W/prom/metacache_flushall.prom"
	grep -qx 'metacache_job{job="flushall",field="uploaded"} 3' "$W/prom/metacache_flushall.prom"
	mc rescan -q -f jsonl | "$LIB/summary-to-prometheus" rescan "$W/prom"
	grep -qx 'metacache_job{job="rescan",field="users"} 1' "$W/prom/metacache_rescan.prom"
	printf 'doveadm_url = http://127.0.0.1:1\ndoveadm_api_key = x\n' >>"$W/here/conf"
	mc drain -q -f jsonl --from flush-3 | "$LIB/summary-to-prometheus" drain "$W/prom"
	grep -qx 'metacache_job{job="drain",field="complete"} 1' "$W/prom/metacache_drain.prom"
	run -1 grep -h null "$W"/prom/*
	cp "$W/prom/metacache_flushall.prom" "$W/before"
	for text in '' '{"users":' 'no JSON' '{"summary":{}}' '[]'; do
		run -65 "$LIB/summary-to-prometheus" flushall "$W/prom" <<<"$text"
		cmp "$W/before" "$W/prom/metacache_flushall.prom"
	done
	run -64 "$LIB/summary-to-prometheus" </dev/null
	run -64 "$LIB/summary-to-prometheus" 'a"b' </dev/null
	run -73 "$LIB/summary-to-prometheus" x "$W/none" <<<'{"a":1}'
	[ "$(ls "$W/prom" | wc -l)" = 3 ]
}
