#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# libvirt's hook against an invented aerostatctl: what it asks, and what it makes of the answer.
set -u
source=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
folder=$(mktemp -d "${TMPDIR:-/tmp}/aerostat-test-XXXXXX") || exit 99
trap 'rm -rf "$folder"' EXIT
failures=0

cat >"$folder/ctl" <<'EOF'
#!/bin/sh
echo "$*" >>"$CALLS"
echo "sentence" >&2
exit "$ANSWER"
EOF
chmod +x "$folder/ctl"
export CALLS="$folder/calls" AEROSTATCTL="$folder/ctl"

xml="<domain type='kvm' id='-1'>
  <name>new 1</name>
  <metadata>
    <memory unit='KiB'>1</memory>
  </metadata>
  <memory unit='KiB'>1048576</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
</domain>"

# expect STATUS CALL ANSWER ARGUMENT...: CALL is all that the hook says to aerostatctl.
expect() {
	status=$1 call=$2 ANSWER=$3
	shift 3
	export ANSWER
	: >"$CALLS"
	printf '%s\n' "$xml" | "$source/tools/hooks/qemu" "$@" >"$folder/out" 2>"$folder/err"
	got=$?
	if [ $got -ne "$status" ] || [ "$(cat "$CALLS")" != "$call" ] || [ -s "$folder/out" ]; then
		echo "FAILED: $* (answer $ANSWER): exit $got, said \"$(cat "$CALLS")\""
		failures=$((failures + 1))
	fi
}

reserve='reserve 1048576K --for-vm new 1 --hook'
expect 0 "$reserve" 0 'new 1' prepare begin -
expect 1 "$reserve" 1 'new 1' prepare begin -
grep -q sentence "$folder/err" || { echo 'FAILED: no reason given'; failures=$((failures + 1)); }
expect 0 "$reserve" 2 'new 1' prepare begin -  # an aerostatctl that knows no such verb
# No daemon: the configuration is asked.
printf '#!/bin/sh\nprintf "[hook]\\nwait = 20s\\non-error = %%s\\n\\n[alerts]\\non-error = refuse\\n" "$ON_ERROR"\n' >"$folder/daemon"
chmod +x "$folder/daemon"
export AEROSTATD="$folder/daemon" ON_ERROR=allow
expect 0 "$reserve" 3 'new 1' prepare begin -
ON_ERROR=refuse
expect 1 "$reserve" 3 'new 1' prepare begin -
grep -q 'on-error = refuse' "$folder/err" || { echo 'FAILED: not told which configuration refuses'; failures=$((failures + 1)); }
expect 0 "$reserve" 2 'new 1' prepare begin -
AEROSTATD=/nowhere/aerostatd
expect 0 "$reserve" 3 'new 1' prepare begin -
expect 0 'release --for-vm new 1' 1 'new 1' release end -
expect 0 '' 1 'new 1' start begin -
expect 0 '' 1 'new 1' started begin -
expect 0 '' 1 'new 1' stopped end -
AEROSTATCTL=/nowhere/aerostatctl
expect 0 '' 1 'new 1' prepare begin -
AEROSTATCTL=$folder/ctl
xml="<domain>
  <memory unit='KiB'>1048576</memory>
  <memoryBacking>
    <hugepages/>
  </memoryBacking>
</domain>"
expect 0 '' 1 'new 1' prepare begin -
xml='junk'
expect 0 '' 1 'new 1' prepare begin -

if [ $failures -ne 0 ]; then exit 1; fi
echo 'all passed'
