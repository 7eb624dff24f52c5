#!/bin/sh
# Customers of the shop: fifty requests a second, and each second how many were answered with what. Ctrl-C ends it.
set -eu

url=${1:-http://127.0.0.1:8080}
while :; do
    # curl's own pace; 000 is no answer at all.
    answers=$(curl --silent --output /dev/null --write-out '%{http_code}\n' --rate 50/s "$url/?customer=[1-50]") || true
    printf '%s  ' "$(date +%T)"
    echo "$answers" | sort | uniq -c | awk '{ printf "%d answered %s  ", $1, $2 } END { print "" }'
done
