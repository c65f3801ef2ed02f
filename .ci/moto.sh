#!/usr/bin/env bash
# Gets moto, the emulator of AWS that tests of provider aws run against, into a virtual environment in the cache; versions are pinned in
# moto.txt. Idempotent; may run twice at once. Where there is no python3, or it cannot be had, it says so, and those tests are skipped.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf 'moto: %s\n' "$*"; }

CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/moto
sum=$(sha256sum moto.txt | cut -c1-16)
target=$CACHE/$sum

if [[ -e $target/whole ]]; then
	say "found in $target"
	exit 0
fi
python=$(command -v python3) || { say "there is no python3: tests against AWS's emulator are skipped"; exit 0; }
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"
flock 9
if [[ ! -e $target/whole ]]; then
	say "installing into $target"
	# A virtual environment knows its own path: it is made in its place, and marked once it is whole.
	rm -rf "$target"
	trap 'rm -rf "$target"' EXIT
	if ! "$python" -m venv "$target" || ! "$target/bin/python" -m pip install --quiet --disable-pip-version-check --requirement moto.txt; then
		say "it cannot be had: tests against AWS's emulator are skipped"
		exit 0
	fi
	touch "$target/whole"
	trap - EXIT
fi
