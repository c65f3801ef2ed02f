#!/usr/bin/env bash
# Gets Cassandra for provider local: Java 17 (as root the distribution's package, where it is missing), and the jars that
# .ci/cassandra/pom.xml names, by Maven, into the cache. Idempotent; may run twice at once. Prints what it did.
#
#   .ci/cassandra.sh                make sure that there is one
#   .ci/cassandra.sh --if-possible  the same; but where an ordinary user would need root for Java or Maven, only say so: tests of
#                                   Cassandra are skipped then
set -euo pipefail
cd "$(dirname "$0")"

say() { printf 'cassandra: %s\n' "$*"; }
die() { printf 'cassandra: %s\n' "$*" >&2; exit 1; }

lacks() {
	if [[ ${OPTION:-} == --if-possible && $(id -u) -ne 0 ]]; then
		say "$* (tests of Cassandra are skipped)"
		exit 0
	fi
	die "$*"
}

OPTION=${1:-}
VERSION=$(sed -n '/cassandra-all/,/version/s:.*<version>\(.*\)</version>.*:\1:p' cassandra/pom.xml)

# Root's nodes run as another user, who may not pass through root's home.
if [[ $(id -u) -eq 0 ]]; then
	CACHE=/var/cache/meridian/cassandra
else
	CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/cassandra
fi

java17() {
	local home
	for home in "${JAVA_HOME:-}" /usr/lib/jvm/* "$(dirname "$(dirname "$(readlink -f "$(command -v java || true)")")")"; do
		if [[ -n $home && -x $home/bin/java ]] && grep -qs '^JAVA_VERSION="17\.' "$home/release"; then
			say "found Java 17 in $home"
			return 0
		fi
	done
	return 1
}

package() {
	if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
		return 1
	fi
	say "installing the distribution's $1"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update && apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$1" >/dev/null
}

java17 || { package openjdk-17-jre-headless && java17; } ||
	lacks "Java 17 is not here, which Cassandra $VERSION runs on: install it (Debian: openjdk-17-jre-headless), or name its directory in JAVA_HOME"

for have in "$CACHE/$VERSION" "/var/cache/meridian/cassandra/$VERSION"; do
	if [[ -e $have/lib/cassandra-all-$VERSION.jar ]]; then
		say "found Cassandra $VERSION in $have"
		exit 0
	fi
done

command -v mvn >/dev/null || package maven || lacks "Maven is not here, which gets Cassandra's jars: install it (Debian: maven), or name a directory with Cassandra's jars in MERIDIAN_CASSANDRA_HOME"
mkdir -p "$CACHE"
stage=$(mktemp -d "$CACHE/.new-XXXXXX")
trap 'rm -rf "$stage"' EXIT
say "getting Cassandra $VERSION by Maven"
# -C: a jar whose checksum is wrong ends it.
mvn --batch-mode --quiet -C -f cassandra/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$stage/$VERSION/lib" >"$stage/log" 2>&1 ||
	{ tail -n 20 "$stage/log" >&2; die "Maven did not get them"; }
[[ -e $stage/$VERSION/lib/cassandra-all-$VERSION.jar ]] || die "Maven got no cassandra-all-$VERSION.jar"
find "$stage/$VERSION" -type d -exec chmod 0755 {} +
find "$stage/$VERSION" -type f -exec chmod 0644 {} +
if [[ -e $CACHE/$VERSION ]] || ! mv -T "$stage/$VERSION" "$CACHE/$VERSION" 2>/dev/null; then
	say "$VERSION is in $CACHE/$VERSION" # another run of this was faster
else
	say "put Cassandra $VERSION into $CACHE/$VERSION"
fi
chmod 0755 "$CACHE"
