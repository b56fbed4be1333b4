#!/usr/bin/env bash
# Print the newest Python that rtcstack runs on (3.11 and up) and that can make a venv; those that are named
# come first.
set -euo pipefail

for name in "$@" python3.14 python3.13 python3.12 python3.11 python3; do
  command -v "$name" >/dev/null || continue
  if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    command -v "$name"
    exit 0
  fi
done
echo "no Python 3.11 or newer with venv and ensurepip (Debian: apt-get install python3-venv)" >&2
exit 1
