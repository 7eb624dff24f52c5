#!/bin/sh
# Stands in for the shop's two servers. Ctrl-C ends them all.
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
start 9201 cart 3ms
start 9202 cart-next 3ms
wait
