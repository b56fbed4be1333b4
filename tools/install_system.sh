#!/usr/bin/env bash
# Install the peers that the interop tests talk to, where that is possible and something is missing.
# Never fails: what cannot be had is said in one line, and its tests are skipped.
set -uo pipefail

# command -> Debian package
declare -A wanted=(
  [chromium]=chromium
  [firefox-esr]=firefox-esr
  [turnserver]=coturn
  [node]=nodejs
  [npm]=npm
  [pulseaudio]=pulseaudio # Firefox's audio does not run without a sound card: this is one
)
# Other names under which the same program may stand on another system.
declare -A also=(
  [chromium]="chromium-browser google-chrome google-chrome-stable"
  [firefox-esr]="firefox"
)

have() {
  local name
  for name in "$1" ${also[$1]:-}; do
    command -v "$name" >/dev/null && return 0
  done
  return 1
}

missing=()
for command in "${!wanted[@]}"; do
  have "$command" || missing+=("${wanted[$command]}")
done
# what the driver that playwright brings is linked with, and a small system does not have
ldconfig -p 2>/dev/null | grep -q libatomic.so.1 || missing+=(libatomic1)
# GStreamer's webrtcbin, in the system's Python
gstreamer=(
  python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-libav
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)
/usr/bin/python3 - 2>/dev/null <<'PYTHON' || missing+=("${gstreamer[@]}")
import gi, sys
gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst
Gst.init(None)
needed = "webrtcbin nicesrc dtlsenc vp8enc vp9enc x264enc avdec_h264 avenc_g722 opusenc mulawenc videoscale"
sys.exit(not all(map(Gst.ElementFactory.find, needed.split())))
PYTHON
# Pion's peer is built from Debian's packages of Go
{ have go && [ -d /usr/share/gocode/src/github.com/pion/webrtc ]; } ||
  missing+=(golang-go golang-github-pion-webrtc.v3-dev)
bash "$(dirname "$0")/find_python.sh" >/dev/null 2>&1 || missing+=(python3 python3-venv)

[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "not installed (no apt-get here): ${missing[*]}"
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "not installed (needs root): sudo apt-get install ${missing[*]}"
  exit 0
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! apt-get update -qq >"$log" 2>&1; then
  echo "not installed (apt-get update failed): ${missing[*]}"
  exit 0
fi
if apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
  exit 0
fi
# One that cannot be had must not keep the others away.
for package in "${missing[@]}"; do
  apt-get install -y -qq --no-install-recommends "$package" >"$log" 2>&1 ||
    echo "not installed (apt-get install failed): $package"
done
exit 0
