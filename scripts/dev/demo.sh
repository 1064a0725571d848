#!/bin/sh
# SPDX-License-Identifier: MIT
# Sourced by ../../dev: the tour. A redis-server that nobody modified, under load, explains itself.

# free_port FIRST: the first port from FIRST on that nobody listens on.
free_port()
{
    port=$1
    while redis-cli -p "$port" ping >/dev/null 2>&1 ||
        curl -s -o /dev/null --max-time 1 "http://127.0.0.1:$port/"; do
        port=$((port + 1))
    done
    echo "$port"
}

demo_clean_up()
{
    trap - INT TERM EXIT
    for pid in ${demo_load:-} ${demo_redis:-}; do
        kill "$pid" 2>/dev/null || true
    done
    [ -z "${demo_redis:-}" ] || wait "$demo_redis" 2>/dev/null || true
    rm -rf "$demo_folder"
}

demo_fail()
{
    echo "dev: $1; what redis said:" >&2
    tail -n 20 "$demo_folder/log" >&2
    exit 1
}

# wait_for SECONDS COMMAND...
wait_for()
{
    tries=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

say()
{
    printf '\n== %s\n' "$1"
}

demo_tour()
{
    url=http://127.0.0.1:$demo_admin
    say "What redis is doing: each thread with its state, what it waits for and the CPU it used"
    "$demo_rthooks" threads "$demo_redis"
    say "A few of the numbers Prometheus would scrape"
    curl -sf "$url/metrics" |
        grep -E '^(process_(cpu|open|resident)|rthooks_sched_threads|rthooks_rthooks)'
    say "What rthooks runs in there, in one line"
    curl -sf "$url/debug/runtime/status?format=text"
    say "The same and more, for a browser or curl"
    for route in metrics debug/runtime/status debug/runtime/config debug/runtime/threads \
        debug/processes debug/pprof/ version livez; do
        echo "$url/$route"
    done
}

run_demo()
{
    ensure_packages build demo
    build_preset release
    demo_rthooks=$PWD/build/release/tools/rthooks
    demo_folder=$(mktemp -d)
    trap demo_clean_up EXIT
    trap 'exit 0' INT TERM
    demo_port=$(free_port 26379)
    demo_admin=$(free_port 6060)
    say "Debian's own redis-server, started with rthooks run; its one line of ours comes first"
    "$demo_rthooks" run --admin "127.0.0.1:$demo_admin" -- redis-server --port "$demo_port" \
        --dir "$demo_folder" --save '' >"$demo_folder/log" 2>&1 &
    demo_redis=$!
    wait_for 10 redis-cli -p "$demo_port" ping || demo_fail "redis does not answer"
    wait_for 10 curl -sf "http://127.0.0.1:$demo_admin/livez" ||
        demo_fail "the admin endpoint does not answer"
    head -n 1 "$demo_folder/log"
    redis-benchmark -p "$demo_port" -q -l -c 20 -t set,get,lpush >/dev/null 2>&1 &
    demo_load=$!
    sleep 2
    demo_tour || demo_fail "the tour broke off"
    if [ -t 1 ]; then
        say "It stays up, under load, until you press Ctrl-C"
        wait "$demo_redis" || true
    fi
}
