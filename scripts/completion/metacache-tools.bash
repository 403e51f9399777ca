# bash completion of all programs of metacache-tools. The options are read from
# the program's own --help, so this file needs no change when a program gets one.

_metacache_tools_options() {
	"$1" --help 2>/dev/null |
		sed -n 's/^ *\(-[A-Za-z]\), \(--[a-z-]*\).*/\1\n\2/p; t; s/^ *\(--[a-z-]*\).*/\1/p'
}

# The choices that --help names for an option's value: --log=stderr|syslog.
_metacache_tools_choices() {
	"$1" --help 2>/dev/null | sed -n "s/^ .*--$2=\([a-z-]*|[a-z|-]*\).*/\1/p" | tr '|' ' '
}

_metacache_tools() {
	local choices current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	# "=" is a word of its own: --format=js is "--format" "=" "js".
	if [[ $current == = ]]; then
		current=
	elif [[ $previous == = ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	COMPREPLY=()
	case $previous in
	-f | --format)
		choices=$(_metacache_tools_choices "$1" format)
		mapfile -t COMPREPLY < <(
			compgen -W "${choices:-flow pager tab table json jsonl}" -- "$current"
		)
		;;
	--log | --log-format | --sort)
		mapfile -t COMPREPLY < <(
			compgen -W "$(_metacache_tools_choices "$1" "${previous#--}")" -- "$current"
		)
		;;
	--from)
		mapfile -t COMPREPLY < <(
			compgen -W "director-vhosts director-wait prune flush-1 stop kick-1 flush-2 wait kick-2 flush-3
				director-down director-flush mark-clean" -- "$current"
		)
		;;
	-c | --config | -F | --file | --output | -O)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	*)
		if [[ $current == -* ]]; then
			mapfile -t COMPREPLY < <(
				compgen -W "$(_metacache_tools_options "$1")" -- "$current"
			)
		elif [[ $1 == *metacache-boot ]]; then
			mapfile -t COMPREPLY < <(compgen -W "start stop status" -- "$current")
		else
			compopt -o default
		fi
		;;
	esac
}

complete -F _metacache_tools \
	fscache-fetch fscache-rescan fscache-status \
	metacache-boot metacache-clean metacache-config metacache-drain metacache-dump metacache-flush metacache-flushall \
	metacache-list metacache-prune metacache-refresh metacache-remove metacache-rescan metacache-status \
	metacache-unpack metacache-update-userdb metacache-verify
