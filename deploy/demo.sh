#!/usr/bin/env bash
# The main job, in a folder of its own: the sample issues become a backlog, tonight's work runs now with the
# simulated model, and the answers are collected.
set -euo pipefail

overnight=$(realpath "$1")
cd "$(dirname "$0")/.."
folder=$(mktemp -d "${TMPDIR:-/tmp}/overnight-demo.XXXXXX")
export OVERNIGHT_DATA_DIR=$folder OVERNIGHT_PROVIDER=sim LOG_LEVEL=error

say() { printf '\n$ %s\n' "$*"; }
run() { say "overnight $*"; "$overnight" "$@"; }

run load 'examples/issues/*.json' --backlog planner
run schedule run
job=$("$overnight" batch list --limit 1 --json | sed -E 's/.*"job_id":"([^"]+)".*/\1/')
run batch collect "$job"
say "ls $folder/results | head -3"
find "$folder/results" -name '*.json' | sort | head -3
printf '\nEverything is in %s; look on with OVERNIGHT_DATA_DIR=%s %s batch details %s\n' "$folder" "$folder" "$overnight" "${job:0:13}"
