# Commands of docs/operations.md, run as they stand there on backend A. To be sourced after pair.bash, with
# $DIR the pair's.
#
#   guide_start            starts both backends and a director before them
#   operators_path         makes the programs that the guide names
#   commands SECTION       its commands
#   follow SECTION FROM TO runs them; what they print is in $DIR/said

guide_start() {
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$DIR/store" "$DIR/cache" "$DIR/cache/mails"
	pair_addresses
	pair_start "$DIR" index "posix:$DIR/store"
	mkdir "$DIR/d" "$DIR/bin"
	pair_direct
	operators_path
}

# guide_user USER…: each with mails and flags, on A.
guide_user() {
	local user
	for user in "$@"; do
		move_user "$user" "$A_HOST"
		on d "$user" append INBOX 3 '(\Seen)'
		on d "$user" store INBOX 1:2 +FLAGS '(\Flagged $Work)'
	done
}

# The programs by their names, with A's settings; doveadm of A, or of the director where the guide says
# so; systemctl as far as the guide uses it (guide-systemctl).
operators_path() {
	local program
	printf '%s' "$EXTRA_CONF_a" >"$DIR/extra.conf"
	for program in "$BIN"/*; do
		printf '#!/bin/sh\nexec %q -c %q "$@"\n' "$program" "$DIR/a/metacache.conf" >"$DIR/bin/${program##*/}"
	done
	printf '#!/bin/sh\nMETACACHE_BIN=%q METACACHE_CONF=%q exec %q "$@"\n' "$BIN" "$DIR/a/metacache.conf" \
		"$PROJECT_DIR/scripts/pre-shutdown-prune" >"$DIR/bin/pre-shutdown-prune"
	cat >"$DIR/bin/doveadm" <<-SH
		#!/bin/sh
		[ "\$1" = director ] && exec /usr/bin/doveadm -c $DIR/d/dovecot.conf "\$@"
		exec /usr/bin/doveadm -c $DIR/a/dovecot.conf "\$@"
	SH
	sed "s,@DIR@,$DIR,; s,@REAL_DIR@,$REAL_DIR,; s,@PROJECT_DIR@,$PROJECT_DIR,; s,@BIN@,$BIN," \
		"$REAL_DIR/guide-systemctl" >"$DIR/bin/systemctl"
	chmod +x "$DIR"/bin/*
}

# commands SECTION: what is indented there and is no output, in order.
commands() {
	awk -v section="## $1" '/^## / { inside = $0 == section } inside && sub(/^    /, "")' "$PROJECT_DIR/docs/operations.md" |
		sed -nE 's/ +# .*//; s/10\.0\.0\.11/'"$A_HOST"'/g; s/10\.0\.0\.12/'"$B_HOST"'/g; s/^\$ //
			s,/var/cache/mails,'"$DIR/cache/mails"',
			/^(metacache-|fscache-|pre-shutdown|systemctl |doveadm |find )/p'
}

# follow SECTION FROM TO: its commands from the FROM-th to the TO-th, each with its exit code 0.
follow() {
	commands "$1" | sed -n "$2,$3p" >"$DIR/commands"
	[ "$(wc -l <"$DIR/commands")" = $(($3 - $2 + 1)) ]
	: >"$DIR/said"
	while IFS= read -r command; do
		echo "\$ $command" >>"$DIR/said"
		PATH=$DIR/bin:$PATH bash -c "$command" >>"$DIR/said" 2>&1 </dev/null 3>&- || return 1
	done <"$DIR/commands"
}
export -f follow commands
# in_other_boot SCRIPT: programs run in it see another /proc.
in_other_boot() {
	DIR=$DIR A_HOST=$A_HOST B_HOST=$B_HOST PROJECT_DIR=$PROJECT_DIR unshare -m -p -f --mount-proc bash -ec "$1"
}
said() { grep -Eq "$1" "$DIR/said"; }

# operator COMMAND…: as the guide's are run.
operator() { PATH=$DIR/bin:$PATH "$@" </dev/null 3>&-; }
