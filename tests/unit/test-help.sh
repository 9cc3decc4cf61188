#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Help, man pages, completion and behaviour agree: all verbs and options, of all programs.
set -u

. "${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/unit/cli.sh"

AEROSTAT_SOCKET=$folder/socket
export AEROSTAT_SOCKET
LC_ALL=C.UTF-8
export LC_ALL
: >"$folder/out"
: >"$folder/err"

# options FILE: the long options that a text names, one to a line.
options() { grep -oE -e '--[a-z][a-z-]*' "$1" | sort -u; }
# plain FILE: a man page without its marks; names are *bold* there, and what stands for something is _underlined_.
plain() { sed 's/[*_\\]//g' "$1"; }
# section NAME FILE: one section of a man page.
section() { sed -n "/^# $1\$/,/^# /p" "$2"; }

man=$source/man/aerostatctl.1.scd
"$ctl" --help >"$folder/help"
sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$folder/help" >"$folder/verbs"
[ -s "$folder/verbs" ] || fail 'help lists no verbs'
sed -n '/^# VERBS/,/^# /s/^\*\([a-z]*\)\*.*/\1/p' "$man" | sort >"$folder/man-verbs"
sort "$folder/verbs" | diff - "$folder/man-verbs" >"$folder/out" || fail 'the man page and help list different verbs'

# The options that every verb takes.
sed -n '/^Options for all verbs/,/^$/p' "$folder/help" | grep -oE -e '--[a-z]+' | sort -u >"$folder/common"
section OPTIONS "$man" >"$folder/section"
options "$folder/section" | diff "$folder/common" - >"$folder/out" || fail 'the man page and help name different options for all verbs'

# Each verb: its heading in the man page is its usage; its text names no other options; it takes those, and refuses all others.
while read -r verb; do
	"$ctl" "$verb" --help >"$folder/$verb" 2>"$folder/err" || fail "$verb --help"
	usage=$(sed -n 's/^Usage: aerostatctl //p' "$folder/$verb")
	printf '%s\n' "$usage" | grep -oE -e '--[a-z][a-z-]*( [A-Za-z|]+)?' >>"$folder/all-options"
	plain "$man" | grep -qxF -e "$usage" || fail "the man page has no heading \"$usage\""
	awk -v verb="$verb" '$0 ~ "^[*]" verb "[*]" { on = 1; next } /^[*#]/ { on = 0 } on' "$man" >"$folder/section"
	[ -s "$folder/section" ] || fail "the man page says nothing about $verb"
	{ printf '%s\n' "$usage" | grep -oE -e '--[a-z][a-z-]*'; cat "$folder/common"; } | sort -u >"$folder/known"
	options "$folder/section" | comm -23 - "$folder/known" >"$folder/out"
	[ ! -s "$folder/out" ] || fail "the man page says that $verb takes an option that it does not"
done <"$folder/verbs"
sort -u "$folder/all-options" >"$folder/out"
mv "$folder/out" "$folder/all-options"
[ "$(wc -l <"$folder/all-options")" -ge 10 ] || fail 'no options found in the usage lines'
: >"$folder/out"
while read -r verb; do
	while read -r option value; do
		# Help is shown only when the command line before it is right.
		if sed -n 's/^Usage: aerostatctl //p' "$folder/$verb" | grep -qF -e "[$option${value:+ $value}]"; then
			expect 0 'Usage: ' '' "$verb" "$option" ${value:+"x"} --help
			if [ -n "$value" ]; then expect 2 '' 'needs a value' "$verb" "$option"; else expect 2 '' 'takes no value' "$verb" "$option=x"; fi
		elif ! sed -n 's/^Usage: aerostatctl //p' "$folder/$verb" | grep -qF -e "[$option"; then
			expect 2 '' "$option" "$verb" "$option" ${value:+"x"} --help
		fi
	done <"$folder/all-options"
	while read -r option; do
		case $option in
		--help | --version) ;;
		--socket) expect 0 'Usage: ' '' "$verb" --socket x --help ;;
		*) expect 0 'Usage: ' '' "$verb" "$option" --help ;;
		esac
	done <"$folder/common"
	# One operand more than it can have.
	"$ctl" "$verb" a b c d e f >"$folder/out" 2>"$folder/err"
	[ $? -eq 2 ] || fail "$verb takes six operands"
done <"$folder/verbs"

# The other programs: the options of their help are those of their man page.
for page in aerostatd.8 aerostat-guest.8 aerostat-sim.1 aerostat-decode.1; do
	program=${page%.*}
	"$build/$program" --help >"$folder/help" 2>"$folder/err" || fail "$program --help"
	section OPTIONS "$source/man/$page.scd" | grep -E '^\*-' >"$folder/section"
	options "$folder/help" >"$folder/help-options"
	options "$folder/section" | diff "$folder/help-options" - >"$folder/out" || fail "$page and $program --help name different options"
	"$build/$program" --no-such-option >"$folder/out" 2>"$folder/err" </dev/null
	[ $? -eq 2 ] || fail "$program takes an option that there is not"
	[ -s "$folder/err" ] || fail "$program says nothing about a wrong option"
done

# Completion: what help says, and the VMs that there are.
start_stub 0
completes() { # WORDS...: completes the last
	bash -c '. "$0" && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _aerostatctl && printf "%s\n" "${COMPREPLY[@]}"' \
		"$source/tools/completions/aerostatctl.bash" aerostatctl "$@" >"$folder/out" 2>"$folder/err"
}
PATH=$build:$PATH
if command -v bash >/dev/null; then
	bash -n "$source/tools/completions/aerostatctl.bash" || fail 'the completion is no bash'
	completes st; [ "$(cat "$folder/out")" = status ] || fail 'completion of st'
	completes show w; [ "$(cat "$folder/out")" = web1 ] || fail 'completion of a VM'
	completes -s "$folder/socket" doctor d; [ "$(cat "$folder/out")" = db-1 ] || fail 'completion of an optional VM'
	completes set web1 2G --f; [ "$(tr '\n' ' ' <"$folder/out")" = '--for --force ' ] || fail 'completion of options'
	completes whatif burst w; [ "$(cat "$folder/out")" = web1 ] || fail 'completion of a VM that bursts'
	completes whatif start 1G b; [ "$(cat "$folder/out")" = burst ] || fail 'completion of a change'
	completes config s; [ "$(cat "$folder/out")" = show ] || fail 'completion of config'
	completes ''
	grep -v '^-' "$folder/out" | sort >"$folder/completed"
	sort "$folder/verbs" | diff - "$folder/completed" >"$folder/out" || fail 'help and completion list different verbs'
	while read -r verb; do
		completes "$verb" --
		sort -u "$folder/out" >"$folder/completed"
		{ sed -n 's/^Usage: //p' "$folder/$verb" | grep -oE -e '--[a-z][a-z-]*'; echo '--socket'; echo '--json'; echo '--help'; } | sort -u |
			diff - "$folder/completed" >"$folder/out" || fail "completion of options of $verb"
		if sed -n 's/^Usage: aerostatctl [a-z]* //p' "$folder/$verb" | grep -qE '^\[?VM'; then
			completes "$verb" ''
			grep -qx web1 "$folder/out" && grep -qx silent "$folder/out" || fail "completion of a VM for $verb"
		fi
	done <"$folder/verbs"
fi
if command -v zsh >/dev/null; then
	# What compadd and _describe are given, without a terminal.
	zsh_completes() {
		zsh -fc 'path=($1 $path); shift
			_call_program() { shift; "$@"; }; _files() { print FILES; }
			_describe() { print -rl -- ${${(P)4}%%:*}; }; compadd() { print -rl -- ${(P)2}; }
			file=$1; shift; words=(aerostatctl "$@"); CURRENT=$#words; PREFIX=$words[-1]; source $file' zsh "$build" "$source/tools/completions/_aerostatctl" "$@" \
			>"$folder/out" 2>"$folder/err"
	}
	zsh -n "$source/tools/completions/_aerostatctl" || fail 'the completion is no zsh'
	zsh_completes ''
	sort "$folder/out" >"$folder/completed"
	sort "$folder/verbs" | diff - "$folder/completed" >"$folder/out" || fail 'help and completion for zsh list different verbs'
	zsh_completes show ''
	grep -qx web1 "$folder/out" || fail 'completion of a VM for zsh'
	zsh_completes set web1 2G --
	[ "$(tr '\n' ' ' <"$folder/out")" = '--socket --json --help --for --force ' ] || fail 'completion of options for zsh'
	zsh_completes ksm ''
	grep -qx unmerge "$folder/out" || fail 'completion of ksm for zsh'
else
	echo 'not tested: completion for zsh (there is none)'
fi
stop_stub

if [ $failures -ne 0 ]; then echo "$failures failed"; exit 1; fi
echo 'all passed'
