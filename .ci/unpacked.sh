#!/usr/bin/env bash
# Gets a server that only tests need: the installed one, else the distribution's packages, unpacked into the cache and not installed, so that
# nothing is started. Idempotent; may run twice at once. Prints what it did. Where there is no apt-get, it says what is skipped.
#
#   .ci/unpacked.sh NAME PROGRAM "TESTS THAT ARE SKIPPED WITHOUT IT" PACKAGE...
set -euo pipefail

name=$1 program=$2 tests=$3
shift 3

say() { printf '%s: %s\n' "$name" "$*"; }

if [[ $(id -u) -eq 0 ]]; then
	CACHE=/var/cache/meridian/$name
else
	CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/$name
fi

for have in "$(command -v "$program" || true)" "/usr/sbin/$program" "$CACHE/current/bin/$program" "/var/cache/meridian/$name/current/bin/$program"; do
	if [[ -n $have && -x $have ]] && "$have" --version >/dev/null 2>&1; then
		say "found $have"
		exit 0
	fi
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "not here, and no apt-get to get it with ($tests are skipped)"
	exit 0
fi
mkdir -p "$CACHE"
stage=$(mktemp -d "$CACHE/.new-XXXXXX")
trap 'rm -rf "$stage"' EXIT
get() { (cd "$stage" && apt-get -qq download "$@" >log 2>&1); }
if ! get "$@" && ! { [[ $(id -u) -eq 0 ]] && apt-get -qq update && get "$@"; }; then
	say "the distribution has none ($tests are skipped): $(tail -n 1 "$stage/log")"
	exit 0
fi
for package in "$stage"/*.deb; do dpkg-deb -x "$package" "$stage/root"; done
mkdir "$stage/root/bin"
cat >"$stage/root/bin/$program" <<END
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH=\$(echo "\$root"/usr/lib/*-linux-gnu) exec "\$root/usr/sbin/$program" "\$@"
END
chmod 0755 "$stage/root/bin/$program" "$stage/root" "$CACHE"
if ! "$stage/root/bin/$program" --version >/dev/null 2>"$stage/log"; then
	say "the distribution's does not run unpacked ($tests are skipped): $(tail -n 1 "$stage/log")"
	exit 0
fi
mv -T "$stage/root" "$CACHE/current" 2>/dev/null || true # another run of this was faster
say "unpacked the distribution's into $CACHE/current"
