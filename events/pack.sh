#!/bin/sh
# Packs every event file from its sources into the folder $1: `make events` and the tests run it.
set -eu
cd "$(dirname "$0")/src"
out=$1
case $out in /*) ;; *) out=../../$out ;; esac
sign_ins="tokyo.jsonl osaka.jsonl root.jsonl failed.jsonl federated.jsonl no-mfa.jsonl japanese.jsonl"

pack() { console-login pack -o "$@"; }

pack "$out/article.json" control-message.json tokyo.jsonl osaka.jsonl
pack "$out/mixed.json" control-message.json $sign_ins siblings.jsonl escapes.jsonl pretty-printed.json
pack "$out/control-message.json" control-message.json
pack "$out/plain-envelope.json" --plain control-message.json tokyo.jsonl pretty-printed.json siblings.jsonl
pack "$out/extracted-lines.json" --plain --lines $sign_ins siblings.jsonl escapes.jsonl
# Every failing row of the table in docs/function.md, between good records.
pack "$out/poison.json" tokyo.jsonl \
  poison/not-base64.b64 poison/not-json.txt poison/invalid-utf-8.bin \
  poison/unknown-message-type.json poison/no-log-events.json \
  poison/truncated.gz poison/corrupt.gz poison/wrong-checksum.gz poison/trailing-bytes.gz \
  poison/bomb.gz poison/malformed-event.json poison/eventbridge-event.json \
  osaka.jsonl
