#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# aerostatctl against the real control socket in front of an invented manager: every verb, exit codes, errors, --json, locales.
set -u

. "${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/unit/cli.sh"

AEROSTAT_SOCKET=$folder/socket
export AEROSTAT_SOCKET
unset COLUMNS NO_COLOR
LC_ALL=C.UTF-8
export LC_ALL

# No daemon: what to do is said.
expect 3 '' 'aerostatd is not running: there is no socket' status
expect 3 '' 'systemctl start aerostatd' list
expect 3 'aerostatctl ' 'aerostatd is not running' version

# Usage needs no daemon.
expect 2 '' '`aerostatctl --help` lists all verbs'
expect 2 '' 'did you mean "status"?' statsu
expect 2 '' '`aerostatctl --help` lists them' frobnicate
expect 2 '' 'did you mean --json?' list --jsno
expect 2 '' 'has no option --colour' list --colour
expect 2 '' 'there is no option --for' --for 10s set web1 2G
expect 2 '' 'takes no value' list --json=yes
expect 2 '' 'needs a value' status -s
expect 2 '' '`show` needs VM' show
expect 2 '' '`set` needs VM SIZE' set web1
expect 2 '' '"3G" is too much' set web1 2G 3G
expect 2 '' 'virsh suspend web1' pause web1
expect 2 '' 'virsh resume web1' resume web1
expect 2 '' 'did you mean 512M?' set web1 512
expect 2 '' 'negative' set web1 -1G
expect 2 '' 'is not a size' set web1 1e9
expect 2 '' 'too large' set web1 99999999999G
expect 2 '' 'an operand of `set` is empty' set web1 ''
expect 2 '' 'did you mean 10m' set web1 2G --for 10
expect 2 '' 'is not a duration' set web1 2G --for soon
expect 2 '' 'no time at all' set web1 2G --for 0s
expect 2 '' '`top` needs a terminal' top
expect 2 '' '`top` is for people' top --json
expect 2 '' 'is not within 100ms and 1h' top --interval 10ms
expect 2 '' 'did you mean 2m' top --interval 2
expect 2 '' '`top` takes no operands' top web1
expect 2 '' 'given twice' set web1 2G --for 1s --for 2s
expect 0 'aerostatctl ' '' --version
expect 0 'Usage: aerostatctl' '' --help
expect 0 'aerostatctl set VM SIZE [--for DURATION] [--force]' '' set --help
expect 0 'Usage: aerostatctl pause' '' pause -h

start_stub 0

# Every verb, for people.
expect 0 'tight' '' status
for line in 'Guarantee   conditional (mode guaranteed)' 'a guest with autodeflate' '12 GiB of 14.2 GiB, 2.25 GiB free' '1.50 x' '21% of the ceiling' \
	'saves 512 MiB' 'some 1.25%' '6: 2 managed, 1 fixed, 2 unknown, 1 breaching' 'Alerts      none'; do
	expect 0 "$line" '' status
done
expect 0 'NAME' '' list
expect 0 'web1        managed     4 GiB     1 GiB   2 GiB   2 GiB  1.92 GiB  2.20 GiB  2.06 GiB   0 B  agent    1.2 s  its share of a short host' '' list
expect 0 'silent      unknown     2 GiB   512 MiB   2 GiB       -         -     2 GiB         -     -  none         -  boots: not heard of yet' '' list
expect 0 '6 VMs                  22 GiB' '' list
expect 0 'a higher weight or floor would give it more' '' show web1
expect 0 'its QEMU process was not found' '' show silent
expect 0 'Guest: has not reported' '' show silent
expect 0 'db-1  11111111-2222-3333-4444-555555555501' '' show 11111111-2222-3333-4444-555555555501
expect 0 'It needs 1.92 GiB: 1.50 GiB in use' '' explain web1
for line in 'That is the word of its agent, 1.2 s old.' 'It is entitled to 2.20 GiB when everybody wants everything: the maximums come to 21 GiB' \
	'It has what it needs' '[host] mode = swap_backed would add 2.40 GiB' '25.0 s ago         3 GiB  1.75 GiB   1 GiB      5  moves slowly to its share'; do
	expect 0 "$line" '' explain web1
done
expect 0 'What it needs is not known' '' explain silent
expect 0 'It takes no part in the sharing' '' explain fixed
expect 0 'Nothing has been decided about it yet' '' explain new
expect 0 'It has not been moved' '' explain new
expect 0 '"steps": 5' '' --json explain web1
expect 0 'web1 is held at 2 GiB for 10 min 0 s.' '' set web1 2G --for 10m
expect 0 'for another 10 min' '' show web1
expect 0 'set by hand' '' list
expect 0 'until `aerostatctl auto web1`' '' set web1 4G --force
expect 0 'Risk: beyond the envelope by 512 MiB; the host may swap.' '' set web1 4G --force
expect 0 'web1 is automatic again.' '' auto web1
expect 0 'web1 is automatic already.' '' auto web1
expect 0 'web1: floor 1 GiB, weight 1000, priority 100, managed yes' '' limits web1
expect 0 'Set by hand, until the VM stops or `--reset`: floor, weight.' '' limits web1 --floor 50% --weight 2000
expect 0 'floor 2 GiB, weight 2000' '' limits web1
expect 0 'limits set by hand' '' show web1
expect 0 '"limits_by_hand": true' '' list --json
expect 0 'floor 1 GiB' '' limits web1 --reset --floor 1G --weight 1000
expect 0 '"managed": null' '' limits web1 --reset --json
expect 0 'No reservations.' '' reservations
expect 0 'Reservation 1: 1 GiB for new1 free, held for 5 min 0 s.' '' reserve 1G --for-vm new1
expect 0 'Reservation 2: 4 GiB being freed, held for 1 min 0 s.' '' reserve 4G --ttl 1m
expect 0 'being freed' '' reservations
expect 0 '"met": true' '' reserve 512M --wait 5s --json
expect 0 'Released.' '' release 3
expect 0 'Released.' '' release --for-vm new1
expect 0 'Released.' '' release 2
expect 0 'No reservations.' '' reservations
expect 0 'Paused: no VM is moved' '' pause
expect 0 'automation paused' '' status
expect 0 'Paused already' '' pause
expect 0 'KSM will be off from `aerostatctl resume` on' '' ksm off
expect 0 'KSM is leave until' '' ksm leave
expect 0 'automation is paused: KSM stays as it is' '' ksm
expect 0 'Running again' '' resume
expect 0 'Running already' '' resume
expect 0 'aerostatd ' '' version
AEROSTAT_SOCKET=/nowhere expect 0 'tight' '' -s "$folder/socket" status
AEROSTAT_SOCKET=/nowhere expect 0 'tight' '' status --socket="$folder/socket"

# What the daemon refuses.
expect 1 '' 'no running VM is called "nope"' show nope
expect 1 '' 'no running VM is called "nope"' explain nope
expect 1 '' 'no running VM is called "nope"' set nope 1G
expect 1 '' '1 GiB .. 4 GiB' set web1 8G
expect 1 '' 'beyond the envelope by 512 MiB' set web1 4G
expect 1 '' 'has no balloon' set fixed 1G
expect 2 '' 'is empty' show ''
expect 2 '' 'valid UTF-8' show "$(printf '\377')"
expect 1 '' 'no running VM is called "a?[31mb"' show "$(printf 'a\033[31mb')"

# The doctor examines a tree without the daemon, too; here a host where nothing is right, with one VM.
root=$folder/root
mkdir -p "$root/proc/42"
printf 'MemTotal: 1048576 kB\nMemFree: 500000 kB\nMemAvailable: 600000 kB\n' >"$root/proc/meminfo"
printf 'qemu-system-x86_64\000-name\000guest=web1\000-m\000512\000-smp\0002\000' >"$root/proc/42/cmdline"
expect 1 'bad   kvm: there is no /dev/kvm' '' doctor --root "$root"
for line in '      why   without KVM a guest runs' '      mend  modprobe kvm_intel' 'bad   web1 balloon: it has no balloon device' 'aerostatctl swap add 2G' \
	'aerostatd 0.' 'ok    vms: 1 examined'; do
	expect 1 "$line" '' doctor --root "$root"
done
expect 1 '"bad": ' '' doctor --root "$root" --json
expect 1 "name='org.aerostat.guest.0'" '' doctor web1 --root "$root"
expect 1 '' 'no QEMU with the name or UUID "nope" runs' doctor nope --root "$root"
expect 1 '' 'cannot open /nowhere' doctor --root /nowhere
AEROSTAT_SOCKET=/nowhere expect 1 'warn  daemon: aerostatd does not answer' '' doctor --root "$root"

# Memory over time.
expect 0 'in steps of 2 s' '' history
expect 0 'envelope     14 GiB' '' history
expect 0 'in steps of 60 s' '' history web1 --since 1h
expect 0 'actual' '' history web1
expect 0 'Nothing is remembered yet' '' history db-1
expect 0 '"step_seconds": 60' '' history --since 1d --json
expect 1 '' 'no running VM is called "nope"' history nope
expect 2 '' 'is not a duration' history --since yesterday
LC_ALL=C expect 0 '####' '' history

expect 0 '' '' history --svg "$folder/host.svg"
expect 0 '' '' history web1 --svg "$folder/web1.svg" --since 1h
for word in '<svg ' 'Memory of web1' ' GiB</text>' ' min</text>' '>actual</text>' 'prefers-color-scheme:dark' '</svg>'; do
	grep -qF -e "$word" "$folder/web1.svg" || fail "no $word in the picture"
done
if command -v python3 >/dev/null; then
	python3 -c 'import sys, xml.dom.minidom; [xml.dom.minidom.parse(f) for f in sys.argv[1:]]' "$folder"/*.svg || fail 'the picture is no XML'
fi
expect 1 '' 'cannot write /nowhere/x' history --svg /nowhere/x

# The configuration: checked by the daemon's own reader, shown as it is in force, and what is shown is good.
PATH=$build:$PATH
expect 0 'floor = ' '' config show
expect 0 '"config": "' '' --json config show
"$ctl" config show >"$folder/shown.conf"
expect 0 'the configuration is good' '' config check "$folder/shown.conf"
printf '[policy]\nflor = 25%%\n' >"$folder/bad.conf"
expect 1 '' 'bad.conf:2' config check "$folder/bad.conf"
expect 1 '' 'nowhere.conf' config check "$folder/nowhere.conf"
expect 2 '' 'takes check or show' config chekc
expect 2 '' 'did you mean `config check x`' config show x

expect 1 '' 'more than the maximum of web1' limits web1 --floor 5G
expect 1 '' 'no running VM' limits nope
expect 1 '' 'libvirt cannot be asked' limits web1 --weight 1000 --persist
expect 2 '' 'from 0% to 100%' limits web1 --floor 120%
expect 2 '' 'has no unit' limits web1 --floor 5
expect 2 '' 'a number from 0 to 1000000' limits web1 --weight -1
expect 2 '' 'a number from 0 to 1000,' limits web1 --priority 1001
expect 2 '' 'is yes or no' limits web1 --managed maybe

expect 1 '' '1 GiB is missing' reserve 9G
expect 0 '' 'may start all the same' reserve 9G --for-vm new2 --hook
expect 1 '' 'no such reservation' release 77
expect 2 '' 'needs either' release
expect 2 '' 'is not the ID' release x
expect 2 '' 'of no memory' reserve 0

# What would happen if.
expect 0 'What runs does not fit: no floor would be broken' '' whatif
expect 0 '2 more would stay as they are.' '' whatif
expect 0 'The worst case: all guests use all they have' '' whatif
expect 0 '36.6 GiB is missing' '' whatif start 40G
expect 0 'A reservation for it is refused' '' whatif start 40G
expect 0 '1.12 GiB (with what QEMU takes)' '' whatif start 1G
expect 0 'Using all that it can get, "web1" would go from 2 GiB' '' whatif burst web1
expect 0 'Using all that they can get, 2 guests' '' whatif burst web1 burst 11111111-2222-3333-4444-555555555501
expect 0 'Using all that they can get, 6 guests' '' whatif burst all swap 0M host-use 2G
expect 0 ', and there is none' '' whatif burst all swap 0M host-use 2G
expect 0 '"fits": false' '' --json whatif start 20G start 20G
expect 0 '"start_bytes": 2415919104' '' --json whatif start 1G start 1G
expect 0 '"speed_measured": false' '' whatif --json
expect 1 '' 'no running VM is called "nope"' whatif burst nope
expect 2 '' 'did you mean 4M?' whatif start 4
expect 2 '' 'is not a size' whatif start lots
expect 2 '' 'too large' whatif host-use 99999999999G
expect 2 '' 'a VM of 0M needs no room' whatif start 0M
expect 2 '' '`host-use 0G` changes nothing' whatif host-use 0G
expect 2 '' '`swap` is given twice' whatif swap 1G swap 2G
expect 2 '' '`start` needs a size' whatif start
expect 2 '' '`burst` needs the name of a VM' whatif start 1G burst
expect 2 '' 'did you mean "start"?' whatif strat 1G
expect 2 '' 'there is no change "web1"' whatif web1 1G
expect 2 '' 'valid UTF-8' whatif burst "$(printf '\377')"
if command -v script >/dev/null; then
	LC_ALL=C COLUMNS=80 TERM=xterm NO_COLOR=1 script -qec "$ctl whatif start 1G burst web1" /dev/null </dev/null | tr -d '\r' >"$folder/out"
	awk 'length($0) > 80 { exit 1 }' "$folder/out" || fail 'whatif is wider than 80 columns'
fi

# What the last days were like.
expect 0 'Watched for 2 d 0 h, 1 d 0 h of it in a dry run.' '' report
expect 0 '12 h 0 min (25% of the time)' '' report
expect 0 'WITH AEROSTAT' '' report
expect 0 'web1: never needed more than 1.50 GiB of 4 GiB: virsh setmaxmem web1 2048M' '' report
expect 0 'db-1: near its maximum of 4 GiB for 2 h 0 min' '' report
expect 0 'Watched for 5 h 0 min.' '' report --since 4h
expect 0 'The promise held all the time' '' report --since 4h
expect 0 'more VMs of 1 GiB fit' '' report --size 1G
expect 0 '"would_moves": 8640' '' report --json
expect 0 '"would_moves": null' '' report --since 4h --json
expect 2 '' 'has no unit' report --since 7
expect 2 '' 'did you mean 2M?' report --size 2
expect 2 '' 'of 0M fit' report --size 0M
expect 1 '' 'at most ten years' report --since 9999d
expect 2 '' '`report` takes no operands' report web1
if command -v script >/dev/null; then
	LC_ALL=C COLUMNS=80 TERM=xterm NO_COLOR=1 script -qec "$ctl report" /dev/null </dev/null | tr -d '\r' >"$folder/out"
	awk 'length($0) > 80 { exit 1 }' "$folder/out" || fail 'report is wider than 80 columns'
fi

# JSON is the reply itself.
expect 0 '"overcommit_ratio": 1.5,' '' --json status
expect 0 '"some_ratio": 0.0125' '' status --json
expect 0 '"actual_bytes": null' '' list --json
expect 0 '"explanation": "It needs' '' show web1 --json
expect 0 '"pin_bytes": 2147483648' '' --json set web1 2G
expect 0 '"changed": true' '' --json auto web1
expect 0 '"automation": "paused"' '' pause --json
expect 0 '"automation": "running"' '' resume --json
expect 0 '"uptime_seconds": 3600' '' --json version
if command -v python3 >/dev/null; then
	for verb in status list 'show web1' version; do
		# shellcheck disable=SC2086 # the verb and its operand
		"$ctl" --json $verb | python3 -c 'import json, sys; json.load(sys.stdin)' || fail "--json $verb is no JSON"
	done
fi

# Names are what others chose: no escape sequence reaches the terminal, and the C locale gets ASCII.
escape=$(printf '\033')
expect 0 'бд-?[31m-ü' '' list
if grep -q "$escape" "$folder/out"; then fail 'an escape sequence came through'; fi
LC_ALL=C expect 0 '??-?[31m-?' '' list
for verb in status list 'show web1'; do
	# shellcheck disable=SC2086 # the verb and its operand
	LC_ALL=C "$ctl" $verb >"$folder/out" 2>"$folder/err"
	if LC_ALL=C grep -q '[^ -~	]' "$folder/out"; then fail "LC_ALL=C $verb is not ASCII"; fi
done
LC_ALL=C expect 0 '[#########################.....]' '' status

# On a terminal: colour unless it is not wanted, and never wider than the terminal.
if command -v script >/dev/null; then
	for width in 50 80 120; do
		LC_ALL=C COLUMNS=$width TERM=xterm NO_COLOR=1 script -qec "$ctl list" /dev/null </dev/null | tr -d '\r' >"$folder/out"
		grep -q web1 "$folder/out" || fail "no list on a terminal of $width columns"
		awk -v width=$width 'length($0) > width { exit 1 }' "$folder/out" || fail "wider than a terminal of $width columns"
		if grep -q "$escape" "$folder/out"; then fail 'NO_COLOR is ignored'; fi
	done
	TERM=xterm script -qec "$ctl status" /dev/null </dev/null >"$folder/out"
	grep -q "$escape\[33mtight" "$folder/out" || fail 'no colour on a terminal'
fi

# Output that cannot be written is a failure.
if [ -w /dev/full ]; then
	"$ctl" list >/dev/full 2>"$folder/err" && fail 'a full disk went unnoticed'
fi

# KSM and swap.
expect 0 'resting, for scanning brought nothing' '' ksm
expect 0 'opted out (nosharepages)' '' ksm status
expect 0 'own (use_zero_pages is off)' '' ksm
expect 0 'pages merge across nodes' '' ksm
expect 0 ' -2 MiB' '' ksm
expect 0 'KSM is auto until the configuration is read again' '' ksm auto
expect 1 '' 'ksmtuned is at work' ksm on
expect 1 '' 'there is no room' ksm unmerge
expect 2 '' 'did you mean "unmerge"?' ksm unmege
expect 0 '"cpu_budget_ratio": 0.15' '' --json ksm
expect 0 'memory.swap.max of machine.slice = 2.40 GiB, set through systemd' '' swap
expect 0 '"method": "systemd"' '' --json swap status
expect 0 'The swap ceiling is 40% = 3.20 GiB' '' swap ceiling 40%
expect 2 '' 'is no share of swap' swap ceiling 101%
expect 2 '' 'is no share of swap' swap ceiling -1%
expect 2 '' 'is no share of swap' swap ceiling 30
expect 2 '' 'as in: aerostatctl swap ceiling 30%' swap ceiling
expect 0 'Rule      18 GiB for 16 GiB of memory' '' swap plan
expect 0 'add 10 GiB, as with' '' swap plan 16G
expect 2 '' 'did you mean "remove"?' swap remov
expect 2 '' 'does not take "x"' swap status x
expect 2 '' 'as in: aerostatctl swap add 4G' swap add
expect 1 '' 'exists already' swap add 64M "$folder/socket"
expect 1 '' 'is a directory' swap add 64M "$folder"
expect 2 '' 'is no absolute path' swap add 64M swapfile
expect 2 '' 'has no blanks' swap add 64M "$folder/swap file"
expect 2 '' 'no use' swap add 64K "$folder/swapfile"
expect 1 '' 'No such file or directory' swap add 64M "$folder/none/swapfile"
case $(stat -f -c %T "$build") in # a folder on a disk, which the temporary one need not be
tmpfs | ramfs) ;;
*) expect 1 '' 'would leave less than 1 GiB' swap add 1000T "$build/aerostat-test-swapfile" ;;
esac
expect 1 '' 'is no swap in use' swap remove "$folder/socket"
[ ! -e "$folder/swapfile" ] && [ ! -e "$build/aerostat-test-swapfile" ] || fail 'a swap file was left'
if mountpoint -q /dev/shm; then expect 1 '' 'is in memory' swap add 64M /dev/shm/aerostat-test-swapfile; fi

# Two daemons on one socket.
"$stub" "$folder/socket" 2>"$folder/err" && fail 'a second daemon started'
grep -q 'another aerostatd is running' "$folder/err" || fail 'a second daemon did not say why it ended'

# Users without rights; needs root to become one.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$folder"
	as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$ctl" "$@" >"$folder/out" 2>"$folder/err"; }
	if setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$ctl"; then
		as_nobody status; [ $? -eq 3 ] || fail 'nobody got through to a socket for the group'
		grep -q 'you may not use' "$folder/err" || fail 'nobody was not told about the group'
		stop_stub
		start_stub 0 everyone
		as_nobody status || fail 'nobody may not read what everyone may read'
		as_nobody pause; [ $? -eq 1 ] || fail 'nobody paused the daemon'
		grep -q 'not change' "$folder/err" || fail 'nobody was not told why'
		expect 0 'automation running' '' status
	else
		echo 'not tested: users without rights (they cannot run the program here)'
	fi
fi
stop_stub
[ ! -e "$folder/socket" ] || fail 'the socket was left behind'

# A thousand VMs.
start_stub 1000
expect 0 '1000 VMs' '' list
begin=$(date +%s%N)
"$ctl" list >/dev/null
end=$(date +%s%N)
case $begin$end in *N*) ;; *) echo "list of 1,000 VMs: $(((end - begin) / 1000000)) ms" ;; esac
stop_stub

if [ $failures -ne 0 ]; then echo "$failures failed"; exit 1; fi
echo 'all passed'
