#!/bin/bash
# Install the Debian packages (12 and 13) that the project needs.
#
#   deploy/install_deps.sh [--print] SET...     SET: build test golden fuzz clean-room   (default: build)
#
# Does nothing when all are there. As root it runs apt-get; else with sudo if that needs no
# password; else it prints the line to run and ends with status 3. --print only prints the line.
# No service is started by it: redis-server's own service is neither started nor, if this script
# brought the package, enabled; the project runs private redis-server processes.
set -euo pipefail

build="gcc g++ cmake ninja-build pkg-config ccache librdkafka-dev libhiredis-dev libhnswlib-dev
  libopenblas-dev libmicrohttpd-dev libyaml-dev redis-server"
test="check libsubunit-dev python3 python3-confluent-kafka python3-redis python3-msgpack
  default-jre-headless maven git binutils curl"
golden="python3-numpy python3-torch" # to make the golden files anew; 150 MB
clean_room="debootstrap git ca-certificates"

codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
case $codename in
  bookworm) fuzz="clang libclang-rt-14-dev" ;;
  trixie) fuzz="clang libclang-rt-19-dev" ;;
  *) fuzz="clang" ;;
esac

print_only=0
packages=""
[ $# -gt 0 ] || set -- build
for arg in "$@"; do
  case $arg in
    --print) print_only=1 ;;
    build) packages="$packages $build" ;;
    test) packages="$packages $build $test" ;;
    golden) packages="$packages $golden" ;;
    fuzz) packages="$packages $fuzz" ;;
    clean-room) packages="$packages $clean_room" ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install_deps: unknown set '$arg' (build, test, golden, fuzz, clean-room)" >&2; exit 2 ;;
  esac
done
[ -n "$packages" ] || packages=$build

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "install_deps: this is not a Debian system; needed are the equivalents of:$packages" >&2
  exit 3
fi

missing=""
# shellcheck disable=SC2086
have=" $(dpkg-query -W -f='${Package}/${db:Status-Status} ' $packages 2>/dev/null || true)"
for p in $packages; do
  case "$have" in
    *" $p/installed "*) ;;
    *) case " $missing " in *" $p "*) ;; *) missing="$missing $p" ;; esac ;;
  esac
done
missing=${missing# }
if [ -z "$missing" ]; then
  exit 0
fi

line="apt-get update && apt-get install -y --no-install-recommends $missing"
if [ "$print_only" = 1 ]; then
  echo "$line"
  exit 0
fi
if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo"
else
  echo "install_deps: packages are missing and this user cannot install them. Run as root:" >&2
  echo "    $line" >&2
  exit 3
fi

# The usual Debian hook that keeps packages from starting services, for the time of this install.
policy=/usr/sbin/policy-rc.d
made_policy=0
remove_policy() {
  [ "$made_policy" = 0 ] || $as_root rm -f "$policy"
}
trap remove_policy EXIT
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
  made_policy=1
fi

echo "install_deps: installing $missing" >&2
log=$(mktemp "${TMPDIR:-/tmp}/freshet-apt-XXXXXX")
apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 -qq -y "$@" >"$log" 2>&1 && return 0
  tail -20 "$log" >&2
  if grep -qE "Failed to fetch|Unable to fetch|Could not resolve|Temporary failure" "$log"; then
    echo "install_deps: download failed" >&2
  fi
  rm -f "$log"
  exit 1
}
apt update
# shellcheck disable=SC2086
apt --no-install-recommends install $missing
rm -f "$log"
case " $missing " in
  *" redis-server "*)
    if [ -d /run/systemd/system ]; then
      $as_root systemctl disable redis-server >/dev/null 2>&1 || true
    fi
    ;;
esac
