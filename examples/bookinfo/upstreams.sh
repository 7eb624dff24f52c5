#!/bin/sh
# Stands in for the shop's six servers. Ctrl-C ends them all.
#
# Runs the `dalbi` that is named by DALBI, is on the PATH, or was built here with --release.
set -eu

built=$(dirname "$0")/../../target/release/dalbi
dalbi=${DALBI:-$(command -v dalbi || echo "$built")}
pids=
stop() {
    trap - EXIT INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    wait
}
trap stop EXIT INT TERM

start() {
    "$dalbi" upstream --listen "127.0.0.1:$1" --name "$2" --latency "$3" &
    pids="$pids $!"
}
start 9101 productpage-v1 5ms
start 9102 details-v1 2ms
start 9103 ratings-v1 exp:4ms
start 9111 reviews-v1 3ms
start 9112 reviews-v2 6ms
start 9113 reviews-v3 normal:6ms,1ms
wait
