#!/usr/bin/env bash
# Build the Pion peer of the interop tests from Debian's Go packages, without any download: GOPATH mode,
# in which a go.mod beside the program lets it name packages with their major version.
# Usage: build_pion.sh OUTPUT. Never fails: without Go or Pion its tests are skipped.
set -uo pipefail

output=$1
libraries=/usr/share/gocode
source=$(cd "$(dirname "$0")/../tests/support/pion" && pwd)

if ! command -v go >/dev/null || [ ! -d "$libraries/src/github.com/pion/webrtc" ]; then
  echo "no Go or no Pion: the Pion peer's tests will be skipped"
  exit 0
fi
place=$(mktemp -d)
trap 'chmod -R u+w "$place"; rm -rf "$place"' EXIT
mkdir -p "$place/src/rtcstack" "$(dirname "$output")"
cp -r "$source" "$place/src/rtcstack/pion"
cd "$place/src/rtcstack/pion" || exit 0
export GO111MODULE=off GOPATH="$place:$libraries" GOCACHE="${GOCACHE:-$place/cache}" GOFLAGS=-p=2
go build -o "$output" . || echo "Pion could not be built: its tests will be skipped"
