#!/usr/bin/env bash
# Whole nights of a fleet on this machine, one after the other, and a table of how they went.
set -euo pipefail

# The program runs in folders of the tests' own, so a pattern has to lead from the root.
case ${ISSUES:-} in
    '' | /*) ;;
    *) export ISSUES=$PWD/$ISSUES ;;
esac
cd "$(dirname "$0")/.."

services=$(deploy/services.sh)
eval "$services"

# The example runner needs two packages; they stay out of the machine's own Python.
venv=target/agent-runner
if ! "$venv/bin/python" -c 'import pika, psycopg' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check pika 'psycopg[binary]'
fi
AGENT_PYTHON=$PWD/$venv/bin/python
export AGENT_PYTHON

echo "| night                                        |  tasks | batches |   runs | distinct | secs   |"
echo "|----------------------------------------------|-------:|--------:|-------:|---------:|-------:|"
cargo test --quiet --locked --package overnight --test it fleet_ -- --ignored --test-threads 1 --nocapture \
    | sed -u -n 's/^\.*|/|/p' || { echo "a night failed: cargo test --package overnight --test it fleet_ -- --ignored" >&2; exit 1; }
