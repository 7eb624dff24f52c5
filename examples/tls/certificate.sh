#!/bin/sh
# Makes a self-signed certificate for the example: shop.example.crt and shop.example.key beside this script.
# For trying out only. The files are written under other names first and then renamed, so that DALBI
# never reads a half-written one.
set -eu

cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
    -subj '/CN=shop.example' -addext 'subjectAltName=DNS:shop.example' \
    -keyout shop.example.key.new -out shop.example.crt.new 2>/dev/null
mv shop.example.key.new shop.example.key
mv shop.example.crt.new shop.example.crt
echo "made $(pwd)/shop.example.crt"
