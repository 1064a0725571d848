#!/bin/sh
# SPDX-License-Identifier: MIT
# Sourced by ../../dev: what each purpose needs from Debian, and how it is installed.

packages_of()
{
    case "$1" in
    build) echo gcc g++ cmake ninja-build pkg-config libcurl4-openssl-dev libjansson-dev ;;
    demo) echo redis-server redis-tools curl ;;
    test) echo libcmocka-dev python3 binutils clang-14 libclang-rt-14-dev redis-server redis-tools memcached nginx-light postgresql prometheus git util-linux musl-tools libcap2-bin curl ;;
    lint) echo clang-format-14 universal-ctags shellcheck ;;
    esac
}

missing_packages()
{
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || echo "$package"
    done
}

# install_packages PACKAGE...: no service is started by it, and nothing of the machine's policy
# stays changed.
install_packages()
{
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    policy=/usr/sbin/policy-rc.d
    mkdir -p build
    made_policy=no
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
        made_policy=yes
    fi
    result=0
    {
        $as_root apt-get update &&
            $as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y --no-install-recommends "$@"
    } >build/apt.log 2>&1 || result=$?
    [ "$made_policy" = no ] || $as_root rm -f "$policy"
    if [ "$result" != 0 ]; then
        tail -n 30 build/apt.log >&2
        echo "dev: installing failed; all of it is in build/apt.log" >&2
        exit 1
    fi
}

# ensure_packages PURPOSE...
ensure_packages()
{
    wanted=""
    for purpose in "$@"; do
        wanted="$wanted $(packages_of "$purpose")"
    done
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        echo "dev: this is no Debian system; it needs what these packages hold:" >&2
        echo "$wanted" >&2
        exit 2
    fi
    # Words on purpose: a list of package names.
    # shellcheck disable=SC2086
    missing=$(missing_packages $wanted)
    [ -n "$missing" ] || return 0
    echo "dev: installing $(echo "$missing" | tr '\n' ' ')"
    # shellcheck disable=SC2086
    install_packages $missing
}
