# Shared by the scripts and the bats files of this folder; to be sourced.

# shellcheck disable=SC2034
REAL_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The numeric owner of all mail and index files; needs no account on the machine.
# shellcheck disable=SC2034
MAIL_UID=5000 MAIL_GID=5000

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# poll_until SECONDS COMMAND...: runs COMMAND until it succeeds; 1 when the time is over.
poll_until() {
	local limit=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < limit)) || return 1
		sleep 0.05
	done
}

# free_ports N: N distinct ports that nobody listens on. They lie below the ephemeral range, so that
# no outgoing connection takes one between this answer and its use.
free_ports() {
	/usr/bin/python3 -c '
import random, socket, sys
want, found = int(sys.argv[1]), []
for port in random.sample(range(10240, 32000), 2000):
    if len(found) == want:
        break
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    found.append(port)
if len(found) < want:
    sys.exit("no free port")
print(*found)' "$1"
}

# scratch_make: a new scratch folder that the daemons' own users can pass through (bats' are 0700),
# with a name short enough for UNIX sockets below it.
scratch_make() {
	local dir
	dir=$(mktemp -d "${TMPDIR:-/tmp}/mcreal.XXXXXX") && chmod 755 "$dir" && echo "$dir"
}
