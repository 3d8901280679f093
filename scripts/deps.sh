#!/bin/sh
# Installs the system packages that a make target needs: deps.sh PACKAGE...
#
# It does nothing when all of them are there, says what it installs when they
# are not, and says what to do when it cannot. Packages have Debian's names.
set -eu

# probe says what proves that a package is there: a program or a file.
probe() {
	case $1 in
	fuse3) command -v fusermount3 ;;
	attr) command -v setfattr ;;
	gcc | libc6-dev) command -v gcc ;;
	psmisc) command -v fuser ;;
	ca-certificates) ls /etc/ssl/certs/ca-certificates.crt ;;
	liblmdb-dev) ls /usr/include/lmdb.h ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

missing=
for package in "$@"; do
	probe "$package" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo="sudo -n"
	if ! $sudo true 2>/dev/null; then
		echo "deps: these packages are missing, and only root can install them:$missing" >&2
		echo "deps: run: apt-get install$missing" >&2
		exit 1
	fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: these packages are missing, and there is no apt-get to install them:$missing" >&2
	echo "deps: install them with your system's package manager" >&2
	exit 1
fi

echo "deps: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# apt reads stdin; a script piped into this shell must not be eaten.
install() {
	# shellcheck disable=SC2086 # the list is meant to split
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		-o DPkg::Lock::Timeout=120 --no-install-recommends $missing </dev/null >>"$log" 2>&1
}
# A package list may be empty or old: refresh it only when an install fails.
if ! install; then
	$sudo apt-get update -q -o DPkg::Lock::Timeout=120 </dev/null >>"$log" 2>&1 || true
	if ! install; then
		tail -n 20 "$log" >&2
		echo "deps: apt-get could not install$missing; see above" >&2
		exit 1
	fi
fi
