#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# aerostatctl against the real daemon, over libvirt's test driver: what is said of wrong calls and of states that are not as one would have them; who
# may do what; wide names; a thousand VMs. It moves nothing on this host.
set -u

. "${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/unit/cli.sh"

AEROSTAT_SOCKET=$folder/socket
export AEROSTAT_SOCKET
LC_ALL=C.UTF-8
export LC_ALL
: >"$folder/out"
: >"$folder/err"
failed_at_start() { echo "aerostatd does not start:"; cat "$folder/log"; exit 99; }

# configure LINE...: what follows KSM, which is one for the whole machine and left alone.
configure() { printf '[ksm]\nmode = leave\n' >"$folder/conf"; printf '%s\n' "$@" >>"$folder/conf"; }

# A host of 64 GiB, the same on every machine: what others do with this one's memory is no matter here.
mkdir -p "$folder/host/proc/sys/kernel/random"
cp /proc/sys/kernel/random/boot_id "$folder/host/proc/sys/kernel/random"
printf 'Filename Type Size Used Priority\n' >"$folder/host/proc/swaps"
printf '%-15s %d kB\n' MemTotal: 67108864 MemFree: 60000000 MemAvailable: 62914560 Buffers: 0 Cached: 2000000 SwapTotal: 0 SwapFree: 0 \
	SReclaimable: 100000 >"$folder/host/proc/meminfo"
# KSM as Linux 6.1 has it, without general_profit; and without merge_across_nodes, as in a kernel without NUMA.
ksm=$folder/host/sys/kernel/mm/ksm
mkdir -p "$ksm"
while read -r file value; do echo "$value" >"$ksm/$file"; done <<'END'
run 0
pages_to_scan 100
sleep_millisecs 20
full_scans 4
pages_shared 10
pages_sharing 25600
pages_unshared 5
pages_volatile 1
use_zero_pages 0
END

start_daemon() { # URI [ARGUMENT...]
	mkdir -p "$folder/state"
	uri=$1
	shift
	"$build/aerostatd" -c "$folder/conf" --connect "$uri" --root "$folder/host" --socket "$folder/socket" \
		--state-dir "$folder/state" "$@" >>"$folder/log" 2>&1 &
	pid=$!
	n=0
	while ! "$ctl" --json list 2>/dev/null | grep -q '"reason": "'; do
		n=$((n + 1))
		if [ $n -gt 300 ] || ! kill -0 "$pid"; then failed_at_start; fi
		sleep 0.05
	done
}

# The daemon's first seconds are over: it knows all VMs that there were.
await_ready() {
	n=0
	until "$ctl" reserve 1000T 2>&1 | grep -q 'is missing'; do
		n=$((n + 1))
		if [ $n -gt 200 ]; then fail 'aerostatd does not become ready'; return; fi
		sleep 0.1
	done
}

# More than is free, and no more than could be made free.
too_much_now() {
	free=$("$ctl" --json status | sed -n 's/^  "free_bytes": \([0-9]*\),$/\1/p')
	echo "$((free / 1048576 + 1024))M"
}

stop_daemon() {
	kill "$pid" && wait "$pid" || fail "aerostatd ended with status $?"
	pid=
}

# Before there is a daemon.
expect 3 '' 'systemctl start aerostatd' list
: >"$folder/conf"
expect 3 '' 'is no socket' -s "$folder/conf" list
expect 3 '' 'is no socket' -s "$folder" list
expect 3 '' 'no socket'\''s may have more than 107' -s "/$(printf '%0200d' 0)" list
expect 3 'AEROSTAT UNKNOWN' 'systemctl start aerostatd' check
expect 3 '' 'systemctl start aerostatd' watch

configure
start_daemon test:///default
expect 1 '' 'does not know all VMs of this host yet; try again in a few seconds' reserve 1M
expect 1 '' 'is missing. The host can bear' reserve 1000T --wait 10s # which waits until it knows
await_ready
expect 0 "\"profit_bytes\": $((25600 * $(getconf PAGESIZE) - 25616 * 64))," '' --json ksm
# None of that is of a VM that is there.
expect 0 '"profit_bytes": 0,' '' --json status
if "$ctl" ksm | grep NUMA; then fail 'ksm speaks of NUMA where the kernel does not'; fi

# Wrong calls: STATUS | WHAT IS SAID | ARGUMENTS. Each says what is wrong, and what to do or where to look.
while IFS='|' read -r status said arguments; do
	[ -n "$status" ] || continue
	# shellcheck disable=SC2086 # the arguments are words
	expect "$status" '' "$said" $arguments
	grep -qE '`|as in|such as|did you mean|are written|may have|from 0|yes or no|takes|needs|give it|is missing|nothing has to|/proc/swaps|No such file|name a file' \
		"$folder/err" || fail "aerostatctl $arguments: nothing is said of what to do"
done <<'END'
2|did you mean "status"?|statsu
2|`aerostatctl --help` lists them|frobnicate
2|see `aerostatctl --help`|-x
2|see `aerostatctl --help`|-sj
2|needs a value|--socket
2|needs a value|--socket= list
2|`status` takes no operands|status status
2|`status` has no option --for|status --for 1s
2|`list` takes no operands|list test
2|`show` needs VM|show
2|`show` takes VM|show test test
1|did you mean "test"?|show Test
1|did you mean "test"?|explain tset
1|`aerostatctl list` shows|show 6695eb01-f6a4-8304-79aa-97f2502e193e
1|`aerostatctl list` shows|history nothing-like-it
1|`virsh list` shows|doctor nope
1|--root needs a folder|doctor --root /etc/passwd
2|needs a value|doctor --root
2|durations are written|history --since -5m
2|durations are written|history --since 1w
2|no time at all|history --since 0s
2|too long|history --since 99999999999999999999d
2|needs a value|history --svg=
1|cannot write /nonexistent/a.svg: No such file|history --svg /nonexistent/a.svg
2|`set` needs VM SIZE|set test
2|did you mean 1024M?|set test 1024
2|did you mean 1.5G?|set test 1.5
2|did you mean 4G?|set test 4g
2|did you mean 512MB?|set test 512mb
2|sizes are written|set test 50%
2|sizes are written|set test much
2|is negative|set test -1G
1|floor 2 GiB, maximum 8 GiB (`aerostatctl limits` changes the floor)|set test 1G
1|floor 2 GiB, maximum 8 GiB|set test 9G
1|`aerostatctl list` shows|set nothing-like-it 4G
2|did you mean 1m (minutes)?|set test 4G --for 1
2|given twice|set test 4G --for 1h --for 2h
2|did you mean --force?|set test 4G --froce
2|takes no value|set test 4G --force=yes
2|`auto` needs VM|auto
2|such as 25%|limits test --floor abc
2|from 0% to 100%|limits test --floor 101%
1|give it 8 GiB at most|limits test --floor 9G
2|a number from 0 to 1000000|limits test --weight 1.5
2|a number from 0 to 1000,|limits test --priority 1001
2|is yes or no|limits test --managed perhaps
1|there is nothing to write|limits test --reset --persist
2|`reserve` needs SIZE|reserve
2|as in: aerostatctl reserve 2G|reserve 0M
1|is missing. The host can bear|reserve 1T
1|runs already|reserve 1G --for-vm test
2|no time at all|reserve 1G --ttl 0s
2|needs either the ID|release
2|needs either the ID|release 1 --for-vm x
2|`aerostatctl reservations` lists them|release abc
1|`aerostatctl reservations` lists them|release 99
1|`aerostatctl reservations` lists them|release --for-vm nope
2|virsh suspend test|pause test
2|virsh resume test|resume test
2|ksm takes status, auto|ksm foo
2|`ksm` takes|ksm on off
2|swap takes status|swap foo
2|with its percent sign|swap ceiling 30
2|as in: aerostatctl swap ceiling 30%|swap ceiling
2|as in: aerostatctl swap add 4G|swap add
2|starts with /|swap add 4G swapfile
1|name a file that does not exist yet|swap add 4G /etc/passwd
1|/proc/swaps lists|swap remove /nope
2|did you mean --follow?|alerts --folow
2|`check` takes no operands|check x
2|takes check or show|config foo
2|did you mean `config check x`?|config show x
END

# Nothing of that changed anything.
expect 0 'No reservations.' '' reservations
expect 0 'floor 2 GiB, weight 1000, priority 100, managed yes' '' limits test
expect 0 'automation running' '' status

# What is set survives a restart, and is said where it holds.
expect 0 'test is held at 4 GiB until' '' set test 4G
expect 0 'weight 3000' '' limits test --weight 3000
expect 0 'Paused' '' pause
expect 1 '' 'automation is paused, so that nobody gives any' reserve "$(too_much_now)"
stop_daemon
start_daemon test:///default
expect 0 '"pin_bytes": 4294967296' '' --json show test
expect 0 'weight 3000' '' limits test
expect 0 'automation paused' '' status
expect 0 'limits by hand' '' list
expect 0 'Automation is paused: no VM is moved until `aerostatctl resume`.' '' list
expect 0 '"automation": "paused"' '' --json list
expect 0 'Running again' '' resume
expect 0 'automatic again' '' auto test
expect 0 'weight 1000' '' limits test --reset

# A configuration that is not good is refused as a whole, and said so by whoever checks it.
PATH=$build:$PATH
"$ctl" config show >"$folder/shown"
expect 0 'good' '' config check "$folder/shown"
for line in 'flor = 25%' 'floor = 500' 'floor = 25%
floor = 30%' '[polcy]'; do
	{ cat "$folder/conf"; printf '[policy]\n%s\n' "$line"; } >"$folder/bad"
	expect 1 '*' "$folder/bad:" config check "$folder/bad"
done
stop_daemon

# One that does not reach libvirt says so, and does not say that there is no VM.
"$build/aerostatd" -c "$folder/conf" --connect test:///nowhere/node.xml --socket "$folder/socket" --state-dir "$folder/state" >>"$folder/log" 2>&1 &
pid=$!
n=0
while [ ! -S "$folder/socket" ] && [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.05; done
expect 0 'libvirt does not answer' '' status
expect 0 'libvirt does not answer: this may be old' '' list
expect 1 'AEROSTAT WARNING: libvirt does not answer' '' check
expect 1 '' 'has not reached libvirt yet' reserve 1G --wait 5s
expect 1 '' '`virsh list` shows what libvirt sees' show test
stop_daemon

# A daemon that changes nothing says so.
start_daemon test:///default --dry-run
expect 0 'dry' '' status
expect 0 'Automation is in dry-run' '' list
expect 0 'dry-run' '' check
await_ready
expect 1 '' 'automation is off (dry run)' reserve "$(too_much_now)"
stop_daemon

# Who may do what, with other users than root; needs root to become one.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$ctl"; then
	chmod 755 "$folder"
	group=$(getent group 65534 | cut -d: -f1)
	as() { # UID GID VERB...
		uid=$1 gid=$2
		shift 2
		setpriv --reuid "$uid" --regid "$gid" --clear-groups "$ctl" "$@" >"$folder/out" 2>"$folder/err" </dev/null
	}
	configure '[control]' "group = $group" 'read = group'
	start_daemon test:///default
	: >"$folder/log"
	as 12345 65534 status || fail 'a member of the group may not read'
	as 12345 65534 set test 3G || fail 'a member of the group may not change'
	grep -q 'user 12345 asks: Set {"vm":"test","target_bytes":3221225472,' "$folder/log" || fail 'the log does not name who asked'
	as 12345 54321 status; [ $? -eq 3 ] || fail 'somebody else may read'
	grep -q "member of group \"$group\"" "$folder/err" || fail 'somebody else is not told which group'
	as 12345 54321 auto test; [ $? -eq 3 ] || fail 'somebody else may change'
	expect 0 'set by hand' '' list
	stop_daemon
	configure '[control]' "group = $group" 'read = everyone'
	start_daemon test:///default
	for call in status list 'show test' 'limits test' 'explain test' history alerts reservations check; do
		# shellcheck disable=SC2086 # the call is words
		as 12345 54321 $call || fail "not everyone may read: $call"
	done
	: >"$folder/log"
	for call in 'auto test' 'set test 4G' 'limits test --weight 2' pause 'reserve 1G' 'release 1' 'ksm off' 'swap ceiling 10%' 'config show'; do
		# shellcheck disable=SC2086
		as 12345 54321 $call; [ $? -eq 1 ] || fail "everyone may: $call"
		grep -q 'you may look, but not change anything' "$folder/err" || fail "$call: not told why"
		grep -q 'Be root, or a member of the group' "$folder/err" || fail "$call: not told what to do"
	done
	if grep -q 'asks:' "$folder/log"; then fail 'what was refused is logged as asked'; fi
	expect 0 'set by hand' '' list
	stop_daemon
else
	echo 'not tested: users without rights (needs root and setpriv)'
fi

# A thousand VMs, some with wide names, which align: a column starts at the same column of the screen in each line.
vms=1000
{
	echo "<node><cpu><mhz>1000</mhz><model>x</model><active>4</active><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads></cpu><memory>268435456</memory>"
	n=0
	while [ $n -lt $vms ]; do
		case $n in 1) name=数据库一号 ;; 2) name=größe-ü ;; 3) name=сервер ;; *) name=web$n ;; esac
		printf "<domain type='test'><name>%s</name><uuid>11111111-2222-3333-4444-%012d</uuid><memory>262144</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices><memballoon model='virtio'/></devices></domain>\n" "$name" $n
		n=$((n + 1))
	done
	echo '</node>'
} >"$folder/node.xml"
rm -rf "$folder/state"
configure '[host]' 'memory = 200G'
start_daemon "test://$folder/node.xml"
n=0
until "$ctl" list | grep -q "^$vms VMs"; do
	n=$((n + 1))
	if [ $n -gt 200 ]; then fail 'not all VMs are found'; break; fi
	sleep 0.1
done
"$ctl" list >"$folder/out"
if command -v python3 >/dev/null; then
	python3 - "$folder/out" <<'END' || fail 'columns are not aligned'
import sys, unicodedata
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
at = lines[0].index("STATE")
width = lambda text: sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)
for line in lines[1:-1]:
    assert width(line[:line.index(line.split()[1])]) == at, line
assert any("数据库一号" in line for line in lines)
END
fi
LC_ALL=C "$ctl" list >"$folder/out"
if LC_ALL=C grep -q '[^ -~]' "$folder/out"; then fail 'LC_ALL=C is not ASCII'; fi
# The best of some: others may be at work on this machine.
best=
for run in 1 2 3 4 5 6 7 8; do
	begin=$(date +%s%N)
	"$ctl" list >"$folder/out" || fail "list of $vms VMs, time $run"
	end=$(date +%s%N)
	case $begin$end in *N*) break ;; esac
	took=$(((end - begin) / 100000))
	if [ -z "$best" ] || [ $took -lt "$best" ]; then best=$took; fi
done
[ -z "$best" ] || echo "list of $vms VMs: $((best / 10)).$((best % 10)) ms"
stop_daemon

if [ $failures -ne 0 ]; then echo "$failures failed"; exit 1; fi
echo 'all passed'
