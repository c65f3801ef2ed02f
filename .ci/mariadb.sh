#!/usr/bin/env bash
# Gets a MariaDB server for the tests of the engines mysql and mariadb: the installed one, else the distribution's package, unpacked into the
# cache and not installed, so that no server is started. Idempotent; may run twice at once. Prints what it did. Where there is no apt-get, it
# says that the tests are skipped.
set -euo pipefail

say() { printf 'mariadb: %s\n' "$*"; }

if [[ $(id -u) -eq 0 ]]; then
	CACHE=/var/cache/meridian/mariadb
else
	CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/mariadb
fi

for have in "$CACHE/current" /var/cache/meridian/mariadb/current; do
	if [[ -x $have/bin/mariadbd ]] && "$have/bin/mariadbd" --version >/dev/null 2>&1; then
		say "found $have"
		exit 0
	fi
done
if [[ -x /usr/sbin/mariadbd && -e /usr/share/mysql/mysql_system_tables.sql ]] && /usr/sbin/mariadbd --version >/dev/null 2>&1; then
	say "found /usr/sbin/mariadbd"
	exit 0
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "not here, and no apt-get to get it with (tests of MySQL and MariaDB are skipped)"
	exit 0
fi
mkdir -p "$CACHE"
stage=$(mktemp -d "$CACHE/.new-XXXXXX")
trap 'rm -rf "$stage"' EXIT
get() { (cd "$stage" && apt-get -qq download mariadb-server-core libaio1 liburing2 libnuma1 >log 2>&1); }
if ! get && ! { [[ $(id -u) -eq 0 ]] && apt-get -qq update && get; }; then
	say "the distribution has none (tests of MySQL and MariaDB are skipped): $(tail -n 1 "$stage/log")"
	exit 0
fi
for package in "$stage"/*.deb; do dpkg-deb -x "$package" "$stage/root"; done
mkdir "$stage/root/bin"
cat >"$stage/root/bin/mariadbd" <<'END'
#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu) exec "$root/usr/sbin/mariadbd" "$@"
END
chmod 0755 "$stage/root/bin/mariadbd" "$stage/root" "$CACHE"
if ! "$stage/root/bin/mariadbd" --version >/dev/null 2>"$stage/log"; then
	say "the distribution's does not run unpacked (tests of MySQL and MariaDB are skipped): $(tail -n 1 "$stage/log")"
	exit 0
fi
mv -T "$stage/root" "$CACHE/current" 2>/dev/null || true # another run of this was faster
say "unpacked the distribution's into $CACHE/current"
