#!/bin/sh
# SPDX-License-Identifier: MIT
# result.sh PRESET: what `./dev test` got from the build under a sanitizer, so that the last lines
# of the plain run speak for all of them. Skipped when ctest is called by hand.
set -eu
if [ -z "${RTH_PRESET_RESULTS-}" ]; then
    echo "skipped: ./dev test runs this preset"
    exit 0
fi
status=$(cat "$RTH_PRESET_RESULTS/$1.status")
echo "preset $1: exit status $status"
[ "$status" -eq 0 ] || tail -n 40 "$RTH_PRESET_RESULTS/$1.log"
exit "$status"
