# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What tests/run and tools/demo share: installing what is missing, and building. Source it with $source_dir set.

build_packages=(gcc libc6-dev make autoconf automake autoconf-archive pkg-config xz-utils
        libvirt-dev libudev-dev libinih-dev libsystemd-dev libxml2-dev libjansson-dev libmicrohttpd-dev libncurses-dev libcmocka-dev scdoc)
lab_packages=(qemu-system-x86 libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system libvirt-clients
        cpio gzip python3 util-linux)
# Without these the parts that need them skip, and say so.
web_packages=(python3 curl jq prometheus prometheus-alertmanager chromium python3-aiosmtpd)
terminal_packages=(python3 tmux)

as_root() {
        if [ "$(id -u)" -eq 0 ]; then
                "$@"
        else
                sudo "$@"
        fi
}

# Installs those of the packages that are not there; asks dpkg first, since that takes no time and no network.
install_missing() {
        local package missing=()

        command -v apt-get > /dev/null || { echo "This needs Debian (apt-get); elsewhere, install by hand: $*" >&2; return 1; }
        for package; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
        done
        [ ${#missing[@]} -gt 0 ] || return 0
        echo "Installing ${missing[*]}"
        as_root apt-get -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
                install "${missing[@]}" > /dev/null
}

# build_in FOLDER [CONFIGURE OPTIONS...]: configures where that has not been done with these options, and makes all.
build_in() {
        local folder=$1
        shift
        if [ ! -x "$source_dir/configure" ] || [ "$source_dir/configure.ac" -nt "$source_dir/configure" ]; then
                (cd "$source_dir" && autoreconf -fi) || return
        fi
        mkdir -p "$folder"
        if [ ! -e "$folder/Makefile" ] || [ "$(cat "$folder/configured-with" 2> /dev/null)" != "$*" ]; then
                (cd "$folder" && "$source_dir/configure" -q "$@") || return
                echo "$*" > "$folder/configured-with"
        fi
        make -C "$folder" -s -j "$(nproc)" all
}
