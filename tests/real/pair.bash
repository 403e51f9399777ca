# Two backends A and B that share mails and one object store, each with its own index
# root and its own configuration of the programs. To be sourced after lib.bash.
#
#   pair_start DIR LAYOUT STORE_URL   starts both; logins refresh through the post-login script
#   pair_direct                       puts a director before them, and has the programs ask it
#   mc a flushall …                   a program with that backend's configuration
#   on a dump USER…                   the IMAP driver on that backend
#   pair_stop DIR

PROJECT_DIR=$(cd "$REAL_DIR/../.." && pwd)
BIN=${BIN:-$PROJECT_DIR/build/bin}
. "$PROJECT_DIR/tests/json.bash"

write_metacache_conf() {
	local name=$1 store=$2
	cat >"$PAIR_DIR/$name/metacache.conf" <<-CONF
		mail_home = $PAIR_DIR/$name/idx/%2Mu/%u
		obox_index_fs = $store
		state_dir = $PAIR_DIR/$name/metacache-state
		backend_host = $name
		mail_uid = $MAIL_UID
		mail_gid = $MAIL_GID
		metacache_close_delay = 0
	CONF
	install -d -m 700 -o "$MAIL_UID" -g "$MAIL_GID" "$PAIR_DIR/$name/metacache-state"
}

pair_start() {
	local layout=$2 store=$3 name extra
	PAIR_DIR=$1
	for name in a b; do
		mkdir -p "$PAIR_DIR/$name"
		write_metacache_conf "$name" "$store"
		extra=EXTRA_CONF_$name
		EXTRA_CONF=${!extra-${EXTRA_CONF-}} POSTLOGIN=$PROJECT_DIR/scripts/imap-postlogin \
			EXTRA_ENV="METACACHE_CONF=$PAIR_DIR/$name/metacache.conf METACACHE_REFRESH=$BIN/metacache-refresh" \
			"$REAL_DIR/start-dovecot" "$PAIR_DIR" "$layout" "$name" >"$PAIR_DIR/$name/env"
	done
}

# Before pair_start: both listen for the director's sessions, too, each on an address of its own.
A_HOST=127.0.0.11 B_HOST=127.0.0.12
pair_addresses() {
	PROXY_PORT=$(free_ports 1)
	EXTRA_CONF_a=$(proxied "$A_HOST") EXTRA_CONF_b=$(proxied "$B_HOST")
}
proxied() {
	printf 'service imap-login {\n inet_listener proxied {\n address = %s\n port = %s\n }\n}\n' "$1" "$PROXY_PORT"
}

pair_direct() {
	local name key=$PAIR_DIR/api-key
	value_of a DOVEADM_API_KEY >"$key"
	chmod 644 "$key"
	# A user who is moved is kicked where he was; the programs may use the socket.
	BACKENDS="$A_HOST $B_HOST" PROXY_PORT=$PROXY_PORT EXTRA_CONF="doveadm_api_key = $(<"$key")
		service ipc {
		  unix_listener ipc {
		    mode = 0666
		  }
		}
		service director {
		  unix_listener director-admin {
		    mode = 0666
		  }
		}" "$REAL_DIR/start-director" "$PAIR_DIR" d >"$PAIR_DIR/d/env"
	for name in a b; do
		sed -i '/^backend_host/d' "$PAIR_DIR/$name/metacache.conf"
		host=${name^^}_HOST
		cat >>"$PAIR_DIR/$name/metacache.conf" <<-CONF
			backend_host = ${!host}
			director = http://127.0.0.1:$(value_of d DIRECTOR_PORT)
			doveadm_url = http://127.0.0.1:$(value_of "$name" DOVEADM_PORT)
			doveadm_api_key_file = $key
		CONF
	done
}
director() { doveadm -c "$PAIR_DIR/d/dovecot.conf" director "$@"; }
# As soon as an earlier move has ended.
move_user() { poll_until 20 director move "$@"; }

pair_stop() {
	[ ! -e "$1/d" ] || "$REAL_DIR/stop" "$1/d"
	"$REAL_DIR/stop" "$1/a" "$1/b"
}

value_of() { (. "$PAIR_DIR/$1/env" && printf '%s' "${!2}"); }

mc() {
	local name=$1 program=$2
	shift 2
	json_kept "$BIN/metacache-$program" -c "$PAIR_DIR/$name/metacache.conf" "$@"
}

on() {
	local name=$1 user=$2
	shift 2
	if [ "$name" = d ]; then
		"$REAL_DIR/imap" "$(value_of d DIRECTOR_IMAP_PORT)" "$user" "$@"
	else
		"$REAL_DIR/imap" "$(value_of "$name" IMAP_PORT)" "$user" "$@"
	fi
}

deliver_on() {
	local name=$1 user=$2
	shift 2
	"$REAL_DIR/imap" "$(value_of "$name" LMTP_PORT)" "$user" deliver "$@"
}

# The index home of a user on a backend.
home_of() { echo "$(value_of "$1" INDEX_ROOT)/$(printf '%s' "$2" | md5sum | cut -c1-2)/$2"; }

# What Dovecot complained about; the tests want it empty.
errors_of() { grep -E ' (Error|Warning|Panic|Fatal): ' "$PAIR_DIR/$1/log/dovecot.log" || true; }
