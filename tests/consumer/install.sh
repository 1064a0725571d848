#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh BUILD-FOLDER VERSION CC CXX: installs the tree, moves it, and builds and runs a C and a
# C++ program against it through find_package and through pkg-config, shared and static.
set -eu
build=$1 version=$2 cc=$3 cxx=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

cmake --install "$build" --prefix "$work/first" >"$work/install.log" || {
    cat "$work/install.log"
    exit 1
}
mv "$work/first" "$work/moved"
if grep -rIl -F -e "$work/first" -e "$build" "$work/moved" --include='*.cmake' --include='*.pc' \
    --include='*.h'; then
    echo "the files above name a folder of the build"
    exit 1
fi

# Runs a program and wants exactly its one line.
expect_version() {
    said=$(LD_LIBRARY_PATH=${2-} "$1") || {
        echo "$1: exit status $?"
        exit 1
    }
    if [ "$said" != "rthooks $version" ]; then
        echo "$1 said '$said'"
        exit 1
    fi
}

if ! { cmake -G Ninja -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/moved" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" &&
    cmake --build "$work/cmake"; } >"$work/cmake.log" 2>&1; then
    cat "$work/cmake.log"
    exit 1
fi
for program in c_rthooks cpp_rthooks c_static cpp_static c_interpose; do
    expect_version "$work/cmake/consumer_$program"
done

PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name rthooks.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir rthooks)
[ -e "$libdir/librthooks.so" ] || {
    echo "pkg-config says libdir=$libdir, where there is no library"
    exit 1
}
cflags=$(pkg-config --cflags rthooks)
shared=$(pkg-config --libs rthooks rthooks-interpose)
static="$libdir/librthooks.a $(pkg-config --static --libs-only-other rthooks)"
# shellcheck disable=SC2086 # these are lists of words
{
    "$cc" -std=c11 "$here/consumer.c" -o "$work/c_shared" $cflags $shared
    "$cxx" -std=c++17 "$here/consumer.cpp" -o "$work/cpp_shared" $cflags $shared
    "$cc" -std=c11 "$here/consumer.c" -o "$work/c_static" $cflags $static
    "$cc" -std=c11 -Wl,--gc-sections "$here/consumer.c" -o "$work/c_gc" $cflags $static
}
expect_version "$work/c_shared" "$libdir"
expect_version "$work/cpp_shared" "$libdir"
expect_version "$work/c_static"
expect_version "$work/c_gc"
readelf -n "$work/c_gc" | grep -q rthooks || {
    echo "the ELF note did not survive --gc-sections"
    exit 1
}
if [ -x "$work/moved/bin/rthooks" ]; then
    "$work/moved/bin/rthooks" version >"$work/tool.log" || {
        echo "the installed tool does not run"
        exit 1
    }
    grep -q "$version" "$work/tool.log"
fi
echo "installed, moved, built and run in every way"
