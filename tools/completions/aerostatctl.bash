# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for aerostatctl(1). Verbs and options come from its own help, so that they cannot differ from it; names of VMs from the daemon.

_aerostatctl_vms() {
	timeout 2 aerostatctl ${1:+-s "$1"} --json list 2>/dev/null | sed -n 's/^ *"name": "\(.*\)",$/\1/p'
}

_aerostatctl() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' socket='' usage='' name i
	local -i operands=0

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket) ((i++)); socket=${COMP_WORDS[i]} ;;
		-*) ;;
		*) if [[ -z $verb ]]; then verb=${COMP_WORDS[i]}; else operands+=1; fi ;;
		esac
	done
	if [[ $previous == -s || $previous == --socket ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	fi
	if [[ -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -W "-s --socket --json --help --version
			$(aerostatctl --help 2>/dev/null | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')" -- "$word")
		return
	fi
	usage=$(aerostatctl "$verb" --help 2>/dev/null | sed -n 's/^Usage: aerostatctl [a-z]* *//p')
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--socket --json --help $(grep -o -e '--[a-z-]*' <<<"$usage")" -- "$word")
	elif [[ $verb == whatif && $((operands % 2)) -eq 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(grep -o -e '[a-z-]* [A-Zall]*' <<<"$usage" | sed 's/ .*//' | sort -u)" -- "$word")
	elif [[ $verb == whatif && $previous != burst ]]; then
		:
	elif [[ $verb == whatif || ($operands -eq 0 && $usage =~ ^\[?VM ) ]]; then
		# A name may hold anything: it is quoted, and never expanded.
		while IFS= read -r name; do
			if [[ $name == "$word"* ]]; then COMPREPLY+=("$(printf '%q' "$name")"); fi
		done < <(_aerostatctl_vms "$socket")
	elif [[ $operands -eq 0 && $usage =~ ^\[?([a-z]+(\|[a-z]+)+) ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${BASH_REMATCH[1]//|/ }" -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}
complete -F _aerostatctl aerostatctl
