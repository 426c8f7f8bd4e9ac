#!/bin/bash
# The two README commands in a clean Debian: debootstrap makes a minimal root in a private folder, HEAD of
# this tree is copied in, and deploy/quickstart.sh and tests/run.sh run there as on a fresh machine.
#
#   tests/clean_room.sh trixie|bookworm [--full] [--seconds N] [--keep]
#
# --full     the whole suite with a real Kafka, not only the quick labels
# --seconds  how long the quickstart shows its live view (10)
# --keep     keep the root (its place is printed) for a look
#
# Preparation, not part of what is tested (each is said when done): certificates that this machine added
# locally, apt's proxy settings and mirror, name resolution, Maven's settings file, proxy variables.
# Packages once downloaded are kept in build/cache of this tree. Needs root; all processes, mounts and
# the folder are gone at the end, however it comes. Status 77 and SKIP: not root, no debootstrap, or a
# download failed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

suite="" full="--quick" seconds=10 keep=0
while [ $# -gt 0 ]; do
  case $1 in
    --full) full="" ;;
    --keep) keep=1 ;;
    --seconds) seconds=${2:?}; shift ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
    [a-z]*) suite=$1 ;;
    *) echo "clean_room: unknown option '$1' (--help)" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$suite" ] || { echo "clean_room: which suite? (trixie, bookworm)" >&2; exit 2; }

passed=0 failed=0 skipped=0
finish() {
  echo "clean: $passed passed, $failed failed, $skipped skipped"
  [ $failed = 0 ] || exit 1
  [ $((passed)) -gt 0 ] || exit 77
  exit 0
}
skip() {
  echo "SKIP clean_room.$suite: $*"
  skipped=1
  finish
}

[ "$(id -u)" = 0 ] || skip "needs root"
[ -x /usr/sbin/debootstrap ] || skip "no debootstrap (deploy/install_deps.sh clean-room)"

work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-clean-XXXXXX")
chmod 755 "$work"
inner=""
cleanup() {
  trap - EXIT INT TERM HUP
  # the root's own process namespace ends with its first process, and its mounts with the namespace
  [ -z "$inner" ] || { kill -9 "$inner" 2>/dev/null; wait "$inner" 2>/dev/null; }
  if [ $keep = 1 ]; then
    echo "kept: $work"
  else
    rm -rf --one-file-system -- "$work"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mirror=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
  awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
cache=$root/build/cache/$suite
mkdir -p "$cache/partial"
t=$SECONDS
strap() { # in a namespace of its own too: it mounts /proc
  unshare --mount --pid --fork --kill-child=KILL \
    debootstrap --variant=minbase --cache-dir="$cache" "$suite" "$work/root" "$@" >"$work/debootstrap.log" 2>&1 &
  inner=$!
  wait "$inner"
  local rc=$?
  inner=""
  return $rc
}
if ! { { [ -n "$mirror" ] && strap "$mirror"; } || { rm -rf -- "$work/root"; strap; }; }; then
  tail -5 "$work/debootstrap.log"
  if grep -qE "Failed getting|Couldn't download|Unable to|retrying failed download|Couldn't connect" "$work/debootstrap.log"; then
    skip "download failed: debootstrap $suite"
  fi
  failed=1
  finish
fi
new=$work/root
echo "debootstrap --variant=minbase $suite: $((SECONDS - t)) s, $(du -sm --one-file-system "$new" | cut -f1) MB"

# ---- preparation ----
if compgen -G '/usr/local/share/ca-certificates/*' >/dev/null; then
  mkdir -p "$new/usr/local/share/ca-certificates"
  cp -r /usr/local/share/ca-certificates/. "$new/usr/local/share/ca-certificates/"
  echo "preparation: copied $(find /usr/local/share/ca-certificates -name '*.crt' | wc -l) certificates that this machine added locally"
fi
apt-config dump 2>/dev/null | grep -E '^Acquire::([a-z]+::Proxy|Check-Valid-Until|Check-Date|Retries)' \
  >"$work/apt.conf" && cp "$work/apt.conf" "$new/etc/apt/apt.conf.d/99machine" &&
  echo "preparation: copied apt's proxy and date settings"
cp -L /etc/resolv.conf "$new/etc/resolv.conf" 2>/dev/null
cp -L /etc/hosts "$new/etc/hosts" 2>/dev/null
if [ -e "${HOME:-/root}/.m2/settings.xml" ]; then
  mkdir -p "$new/root/.m2"
  cp "${HOME:-/root}/.m2/settings.xml" "$new/root/.m2/"
  echo "preparation: copied Maven's settings file"
fi
echo "preparation: packages are written without waiting for the disk (a throw-away root)"
echo force-unsafe-io >"$new/etc/dpkg/dpkg.cfg.d/clean-room"
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # no service runs in a chroot
chmod 755 "$new/usr/sbin/policy-rc.d"

mkdir -p "$new/src/freshet"
git -C "$root" -c safe.directory='*' archive HEAD | tar -x -C "$new/src/freshet" || {
  echo "FAILED  no copy of HEAD"
  failed=1
  finish
}
git -C "$root" -c safe.directory='*' diff --quiet HEAD 2>/dev/null ||
  echo "note: this tree has changes that are not committed; HEAD is what is tested"

# ---- run ----
variables=(HOME=/root USER=root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
  TERM="${TERM:-dumb}")
for name in CI http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY MAVEN_OPTS MAVEN_ARGS; do
  [ -z "${!name:-}" ] || variables+=("$name=${!name}")
done

# inside COMMAND: in the root, in a process and mount namespace of its own, which end with it.
inside() {
  unshare --mount --pid --fork --kill-child=KILL bash -c '
    new=$1 cache=$2
    shift 2
    mount --make-rprivate / &&
      mount -t proc proc "$new/proc" &&
      mount --rbind /dev "$new/dev" &&
      mount --bind "$cache" "$new/var/cache/apt/archives" || exit 125
    exec chroot "$new" env -i "$@"' inside "$new" "$cache" "${variables[@]}" bash -c "cd /src/freshet && $1" </dev/null &
  inner=$!
  wait "$inner"
  local rc=$?
  inner=""
  return $rc
}

check() { # NAME STATUS-OK COMMAND: one line of the result
  local name=$1 want=$2 t=$SECONDS rc
  shift 2
  echo "--- clean $suite: $name"
  inside "$1"
  rc=$?
  echo "--- clean $suite: $name: status $rc, $((SECONDS - t)) s"
  if [ $rc = "$want" ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED  clean $suite: $name"
  fi
}

check "install_deps.sh as a user without sudo prints the line and ends with status 3" 0 \
  'said=$(setpriv --reuid=65534 --regid=65534 --clear-groups deploy/install_deps.sh build 2>&1)
   [ $? = 3 ] && case $said in *"apt-get install"*librdkafka-dev*) ;; *) echo "$said"; false ;; esac'
if [ -e "$new/src/freshet/deploy/quickstart.sh" ]; then
  check "deploy/quickstart.sh --seconds $seconds" 0 "deploy/quickstart.sh --seconds $seconds"
fi
t=$SECONDS
echo "--- clean $suite: tests/run.sh $full"
inside "tests/run.sh $full" > >(tee "$work/run.log") 2>&1 # not a pipe: a signal must find the child
rc=$?
echo "--- clean $suite: tests/run.sh $full: status $rc, $((SECONDS - t)) s"
line=$(grep -E '^tests: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$work/run.log" | tail -1)
read -r p f s <<<"$(echo "${line:-0 0 0}" | tr -dc '0-9 \n')"
passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
[ "$rc" = 0 ] || [ "$f" != 0 ] || failed=$((failed + 1))
echo "clean $suite: $((SECONDS)) s in all"
finish
