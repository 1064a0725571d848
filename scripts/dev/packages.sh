#!/bin/sh
# SPDX-License-Identifier: MIT
# Sourced by ./dev: which packages each purpose needs, and their installation on Debian and its
# relatives. Only missing packages are installed; no service is started by it, and nothing of the
# machine's policy is changed.

# packages_for PURPOSE…: names on standard output.
packages_for() {
    for purpose in "$@"; do
        case $purpose in
        build)
            echo gcc g++ cmake ninja-build pkg-config zlib1g-dev libcurl4-openssl-dev
            echo libjansson-dev libdw-dev libelf-dev
            ;;
        demo)
            echo redis-server redis-tools curl
            echo libmicrohttpd-dev libsqlite3-dev libuv1-dev
            ;;
        # The programs that the integration tests hook, and what judges their answers.
        test)
            echo libcmocka-dev python3 git clang-14 libclang-rt-14-dev llvm-14
            echo memcached nginx-light postgresql prometheus util-linux musl-tools libcap2-bin
            echo libjemalloc-dev strace gdb binutils
            echo libjemalloc2 libtcmalloc-minimal4 libgoogle-perftools4 libmimalloc2.0
            echo libmicrohttpd-dev libsqlite3-dev libuv1-dev libevent-dev
            ;;
        # The peers that our own parts are measured beside, and servers that only run there.
        bench) echo libunwind8 libgoogle-perftools4 libjemalloc2 libmimalloc2.0 mariadb-server ;;
        lint) echo clang-format-14 shellcheck universal-ctags ;;
        esac
    done
}

# The system is one whose packages have these names.
is_debian() (
    ID='' ID_LIKE=''
    # shellcheck source=/dev/null
    [ -r /etc/os-release ] && . /etc/os-release
    case " $ID $ID_LIKE " in
    *" debian "*) command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ;;
    *) false ;;
    esac
)

# missing_of NAME…: those that are not installed.
missing_of() {
    for name in "$@"; do
        # shellcheck disable=SC2016 # dpkg-query's variable
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null) in
        ?i*) ;;
        *) printf '%s ' "$name" ;;
        esac
    done
}

# as_root COMMAND…
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

policy=/usr/sbin/policy-rc.d
policy_is_ours=''

# Debian asks policy-rc.d before it starts a service; without one it starts what it installs. A
# policy that is there already is the administrator's and stays as it is.
forbid_service_starts() {
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        return 0
    fi
    policy_is_ours=yes
    trap allow_service_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # shellcheck disable=SC2016 # expanded by that shell
    as_root sh -c 'printf "%s\n" "#!/bin/sh" "exit 101" >"$1" && chmod 755 "$1"' sh "$policy"
}

allow_service_starts() {
    if [ -n "$policy_is_ours" ]; then
        as_root rm -f "$policy"
        policy_is_ours=''
    fi
}

apt_install() {
    as_root apt-get -q update || return
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

# install_packages PURPOSE…
install_packages() {
    names=$(packages_for "$@" | tr '\n' ' ')
    if ! is_debian; then
        printf './dev: this is not Debian or a relative of it. Install what its packages\n' >&2
        printf '  %s\ncontain, then use cmake --preset (see CONTRIBUTING.md).\n' "$names" >&2
        exit 2
    fi
    # shellcheck disable=SC2086 # a list of words
    missing=$(missing_of $names)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        printf './dev: not root and no sudo; install these packages:\n  %s\n' "$missing" >&2
        exit 2
    fi
    say "install: $missing"
    forbid_service_starts
    status=0
    # shellcheck disable=SC2086 # a list of words
    quietly apt apt_install $missing || status=$?
    allow_service_starts
    trap - EXIT INT TERM HUP
    [ "$status" -eq 0 ] || die "the packages could not be installed"
}
