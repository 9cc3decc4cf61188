# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by tests of aerostatctl: a folder of their own, a daemon in it, and what is expected of a call.
# shellcheck shell=sh disable=SC2034 # used by whoever sources this

build=${abs_top_builddir:-$PWD}
source=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
ctl=$build/aerostatctl
stub=$build/tests/unit/stub-aerostatd
folder=$(mktemp -d "${TMPDIR:-/tmp}/aerostat-test-XXXXXX") || exit 99
failures=0
pid=

cleanup() {
	if [ -n "$pid" ]; then kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; fi
	rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

start_stub() { # VMS [everyone]
	"$stub" "$folder/socket" "$@" &
	pid=$!
	n=0
	while [ ! -S "$folder/socket" ]; do
		n=$((n + 1))
		if [ $n -gt 200 ]; then echo "the stub does not start"; exit 99; fi
		sleep 0.05
	done
}

stop_stub() {
	kill "$pid" && wait "$pid" || fail "the stub ended with status $?" # a sanitizer may have had something to say
	pid=
}

fail() {
	echo "FAILED: $*"
	echo "  stdout:"; sed 's/^/    /;20q' "$folder/out"
	echo "  stderr:"; sed 's/^/    /;20q' "$folder/err"
	failures=$((failures + 1))
}

# expect STATUS OUT ERR ARGUMENT...: OUT and ERR are fixed strings that have to appear; "" for nothing printed there at all; * for anything.
expect() {
	status=$1 out=$2 err=$3
	shift 3
	"$ctl" "$@" >"$folder/out" 2>"$folder/err" </dev/null
	got=$?
	[ $got -eq "$status" ] || fail "aerostatctl $*: exit status $got instead of $status"
	case $out in
	'') [ ! -s "$folder/out" ] || fail "aerostatctl $*: stdout is not empty" ;;
	'*') ;;
	*) grep -qF -e "$out" "$folder/out" || fail "aerostatctl $*: no \"$out\" on stdout" ;;
	esac
	case $err in
	'') [ ! -s "$folder/err" ] || fail "aerostatctl $*: stderr is not empty" ;;
	'*') ;;
	*) grep -qF -e "$err" "$folder/err" || fail "aerostatctl $*: no \"$err\" on stderr" ;;
	esac
}

