# bash completion for metacache-tools. One function for all programs: what a program
# accepts is read from its own --help, so nothing here has to follow it.

_metacache_tools() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
	case $previous in
	-f | --format) words='flow pager tab table json jsonl' ;;
	--log) words='stderr syslog' ;;
	--log-format) words='text json' ;;
	-p | --priority) words='0 1 2 3' ;;
	-c | --config | -F | --file)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	*)
		[[ $current == -* ]] &&
			words=$("${COMP_WORDS[0]}" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,')
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _metacache_tools -o default metacache-list metacache-flush metacache-flushall \
	metacache-clean metacache-refresh metacache-rescan metacache-unpack metacache-config
