#!/bin/sh
# SPDX-License-Identifier: MIT
# Sourced by ./dev: the tour. Debian's own redis-server runs under rthooks with load on it, and each
# answer is shown under one line that says what the reader sees.

demo_folder=''
demo_redis=''
demo_load=''
demo_checkout=''

demo_clean_up() {
    trap - EXIT INT TERM HUP
    for pid in $demo_load $demo_redis $demo_checkout; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in $demo_load $demo_redis $demo_checkout; do
        wait "$pid" 2>/dev/null || :
    done
    [ -z "$demo_folder" ] || rm -rf "$demo_folder"
}

# A number from 20000 to 52767.
random_port() {
    echo $((20000 + $(od -An -N2 -tu2 /dev/urandom) % 32768))
}

# Nothing listens on the port: curl says 7, "could not connect".
port_is_free() {
    status=0
    curl -s -o /dev/null --max-time 2 "http://127.0.0.1:$1/" || status=$?
    [ "$status" -eq 7 ]
}

free_port() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(random_port)
        if port_is_free "$port"; then
            echo "$port"
            return
        fi
    done
    die "no free port found"
}

# within SECONDS COMMAND…: until it succeeds; fails when redis-server ends meanwhile.
within() {
    tries=$(($1 * 10))
    shift
    while [ "$tries" -gt 0 ]; do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        kill -0 "$demo_redis" 2>/dev/null || return 1
        sleep 0.1
        tries=$((tries - 1))
    done
    return 1
}

redis_answers() {
    [ "$(redis-cli -h 127.0.0.1 -p "$redis_port" ping)" = PONG ]
}

demo_fail() {
    printf 'redis-server said:\n' >&2
    tail -n 20 "$demo_folder/redis.log" >&2
    die "$1"
}

heading() {
    printf '\n== %s\n' "$*"
}

# ask PATH: the body of an answer, or the end of the demo.
ask() {
    curl -fsS --max-time 10 "$url$1" || demo_fail "GET $url$1 failed"
}

# The stops of the tour. Each later capability adds one.
demo_tour() {
    heading "The line that rthooks printed when redis-server started"
    grep -m 1 rthooks "$demo_folder/redis.log" || demo_fail "no start line in redis-server's output"

    heading "Every thread of redis-server, ours included: what it does and what it has used"
    "$rthooks" threads "$demo_redis" || demo_fail "rthooks threads $demo_redis failed"

    heading "A few of its metrics, as Prometheus reads them"
    ask /metrics >"$demo_folder/metrics"
    grep -E '^(process_(cpu_seconds_total|resident_memory_bytes|open_fds)|rthooks_sched_threads)' \
        "$demo_folder/metrics" || demo_fail "no process metrics in $url/metrics"

    heading "Where its CPU time goes: three seconds of samples, by function"
    "$rthooks" pprof top --seconds 3 --limit 12 "$demo_redis" 2>"$demo_folder/pprof.log" ||
        demo_fail "rthooks pprof top failed: $(cat "$demo_folder/pprof.log")"

    heading "The same as a picture: open it in a browser"
    "$rthooks" pprof flame --seconds 2 -o "$demo_flame" "$demo_redis" >/dev/null \
        2>"$demo_folder/pprof.log" ||
        demo_fail "rthooks pprof flame failed: $(cat "$demo_folder/pprof.log")"
    printf '  %s\n' "$demo_flame"

    heading "Who holds its memory: live bytes by function and what it called, sampled since the start"
    "$rthooks" pprof top --profile heap --limit 14 --cum "$demo_redis" 2>"$demo_folder/pprof.log" ||
        demo_fail "rthooks pprof top --profile heap failed: $(cat "$demo_folder/pprof.log")"

    heading "Where its threads are this very moment, without stopping any of them"
    ask '/debug/pprof/threads?debug=2' | head -n 14 | sed 's/^/  /'
    printf '  …\n'

    heading "Is it alive, is it ready"
    printf 'livez: %s\n' "$(ask /livez)"
    printf 'readyz: %s\n' "$(ask /readyz)"

    heading "What runs inside it, and what does not and why"
    ask '/debug/runtime/status?format=text'
    printf '\n'

    demo_checkout_tour

    heading "Open these while it runs"
    for path in /metrics /debug/pprof/ '/debug/pprof/profile?seconds=5' /debug/pprof/heap \
        '/debug/pprof/threads?debug=2' /debug/runtime/status /debug/runtime/threads \
        /debug/processes /version; do
        printf '  %s%s\n' "$url" "$path"
    done
}

# A service that links rthooks and labels its handlers: cuts by label.
demo_checkout_tour() {
    heading "A service with labels (examples/checkout), three handlers under load"
    checkout_port=$(free_port)
    checkout_admin_port=$(free_port)
    RTHOOKS_ADMIN=127.0.0.1:$checkout_admin_port "$checkout" --port "$checkout_port" --database "$demo_folder/orders.db" \
        >"$demo_folder/checkout.log" 2>&1 &
    demo_checkout=$!
    checkout_url=http://127.0.0.1:$checkout_port
    within 10 curl -fsS --max-time 2 "$checkout_url/healthz" ||
        demo_fail "checkout does not answer: $(cat "$demo_folder/checkout.log")"
    within 10 curl -fsS --max-time 2 "http://127.0.0.1:$checkout_admin_port/version" ||
        demo_fail "checkout has no admin endpoint"
    curl -fsS "$checkout_url/leak?bytes=65536&count=400" >/dev/null
    (while curl -fs "$checkout_url/checkout?cpu_ms=20" "$checkout_url/handover?cpu_ms=12" \
        "$checkout_url/search?cpu_ms=6" >/dev/null 2>&1; do :; done) &
    demo_load="$demo_load $!"
    demo_cut "Its CPU time, by handler" tags --seconds 4
    demo_cut "The CPU time of /checkout alone, by function" \
        top --seconds 4 --limit 6 --tagfocus handler=/checkout
    demo_cut "Its memory, by handler: /leak holds what nobody gave back" \
        top --profile heap --by-label handler
    demo_cut "What /leak holds, by function" \
        top --profile heap --limit 6 --tagfocus handler=/leak
}

# demo_cut HEADING PPROF-ARGUMENT…
demo_cut() {
    heading "$1"
    shift
    printf '$ rthooks pprof %s PID\n' "$*"
    "$rthooks" pprof "$@" "$demo_checkout" 2>"$demo_folder/pprof.log" ||
        demo_fail "rthooks pprof $* failed: $(cat "$demo_folder/pprof.log")"
}

demo_start() {
    redis_port=$(free_port)
    admin_port=6060
    if ! port_is_free "$admin_port"; then
        say "port 6060 is taken, using another"
        admin_port=$(free_port)
    fi
    url=http://127.0.0.1:$admin_port

    say "run: rthooks run --service demo --admin 127.0.0.1:$admin_port -- redis-server --port $redis_port"
    # rthooks run execs redis-server: one process, and this is its pid.
    "$rthooks" run --service demo --admin "127.0.0.1:$admin_port" -- redis-server \
        --port "$redis_port" --bind 127.0.0.1 --dir "$demo_folder" --save '' --appendonly no \
        >"$demo_folder/redis.log" 2>&1 &
    demo_redis=$!
    within 20 redis_answers || demo_fail "redis-server did not come up"
    within 10 curl -fsS --max-time 2 "$url/version" || demo_fail "$url does not answer"

    say "load: redis-benchmark, 20 connections of GET and SET"
    redis-benchmark -h 127.0.0.1 -p "$redis_port" -c 20 -n 1000000000 -r 100000 -t set,get -q \
        >"$demo_folder/load.log" 2>&1 &
    demo_load=$!
    sleep 2
    kill -0 "$demo_load" 2>/dev/null || demo_fail "redis-benchmark ended early"
}

# demo BUILD-FOLDER
demo() {
    rthooks=$1/tools/rthooks
    checkout=$1/examples/checkout/checkout
    demo_folder=$(mktemp -d)
    demo_flame=$1/redis-cpu.svg
    trap demo_clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    demo_start
    demo_tour
    if [ -t 1 ]; then
        printf '\nIt stays up, with load, until Ctrl-C.\n'
        trap 'interrupted=yes' INT
        interrupted=''
        wait "$demo_redis" || :
        [ -n "$interrupted" ] || demo_fail "redis-server ended by itself"
    fi
    demo_clean_up
    say "redis-server and its files are gone again"
}
