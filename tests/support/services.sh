# Sourced by the scripts that run a real freshetd: a private redis-server, new topics on a Kafka, the
# daemon, and their end whatever happens.
#
#   services_begin NAME BUILD_DIR   -> $work (a private folder), $python, $build, $tools
#   services_kafka                  -> $brokers ($FRESHET_TEST_KAFKA, the test fixture's, or one of our own)
#   services_redis                  -> $redis_address
#   services_topics PARTITIONS      -> new topics under a prefix of their own; $set: flags for the programs
#   services_daemon [--set K=V]...  -> freshetd in the background, ready; $daemon_pid, $http
#   services_stop_daemon            -> SIGTERM and its status
# Every failure ends the script; children and the folder go with it.

services_begin() {
  name=$1 build=$2
  tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  root=$(cd "$tools/../.." && pwd)
  daemon_pid="" redis_pid="" own_kafka="" http=""
  work=$(mktemp -d "${TMPDIR:-/tmp}/freshet-$name-XXXXXX")
  trap services_end EXIT
  trap 'exit 130' INT TERM HUP
  for python in "${PYTHON:-python3}" /usr/bin/python3; do # Debian's packages are for Debian's Python
    "$python" -c 'import confluent_kafka' 2>/dev/null && break
    python=""
  done
  [ -n "$python" ] || services_skip "no Python with confluent_kafka (package python3-confluent-kafka)"
  command -v redis-server >/dev/null || services_skip "no redis-server"
}

services_skip() {
  echo "SKIP $name: $*"
  exit 77
}

services_fail() {
  echo "$name: $*" >&2
  [ ! -s "$work/freshetd.log" ] || tail -20 "$work/freshetd.log" >&2
  exit 1
}

services_end() {
  local pid
  for pid in $daemon_pid $redis_pid; do
    kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  done
  [ -z "$own_kafka" ] || "$root/deploy/kafka/kafka.sh" kill9 --dir "$own_kafka" >/dev/null 2>&1
  rm -rf -- "$work"
}

services_kafka() {
  local rc=0
  brokers=${FRESHET_TEST_KAFKA:-}
  if [ -z "$brokers" ] && [ -e "$build/kafka/skip" ]; then
    services_skip "$(cat "$build/kafka/skip")"
  fi
  if [ -z "$brokers" ] && [ -e "$build/kafka/address" ]; then
    brokers=$(cat "$build/kafka/address")
  fi
  [ -z "$brokers" ] || return 0
  own_kafka=$work/kafka
  "$root/deploy/kafka/kafka.sh" start --dir "$own_kafka" "$@" >"$work/kafka.out" 2>"$work/kafka.err" || rc=$?
  [ $rc != 77 ] || services_skip "$(sed -n 's/^SKIP kafka: //p' "$work/kafka.err" | head -1)"
  [ $rc = 0 ] || services_fail "Kafka did not start: $(tail -3 "$work/kafka.err")"
  brokers=$(cat "$own_kafka/address")
}

services_redis() {
  redis_address=unix:$work/redis.sock
  redis-server --unixsocket "$work/redis.sock" --unixsocketperm 700 --port 0 --dir "$work" --save "" \
    --maxmemory-policy noeviction --daemonize no >"$work/redis.log" 2>&1 &
  redis_pid=$!
  for _ in $(seq 200); do
    [ -S "$work/redis.sock" ] && return 0
    sleep 0.05
  done
  services_fail "redis-server did not start: $(tail -3 "$work/redis.log")"
}

services_topics() {
  local unique
  unique=$name-$$-$RANDOM
  set=(--set "kafka.brokers=$brokers" --set "kafka.group=$unique" --set "topics.prefix=$unique."
    --set "topics.partitions=$1" --set "redis.address=$redis_address" --set "kafka.instance=$unique")
  prefix=$unique.
  "$build/freshet" topics create "${set[@]}" >"$work/topics.out" 2>&1 || services_fail "$(cat "$work/topics.out")"
}

services_daemon() {
  daemon_set=("$@")
  "$build/freshetd" "${set[@]}" --set http.port=0 "$@" >"$work/freshetd.out" 2>>"$work/freshetd.log" &
  daemon_pid=$!
  for _ in $(seq 1200); do
    kill -0 "$daemon_pid" 2>/dev/null || services_fail "the daemon ended"
    http=$(sed -n 's/.*http_port=\([0-9]*\).*/\1/p' "$work/freshetd.log" | tail -1)
    if [ -n "$http" ] && curl -sf -o /dev/null "http://127.0.0.1:$http/readyz"; then
      return 0
    fi
    sleep 0.1
  done
  services_fail "the daemon is not ready: $(curl -s "http://127.0.0.1:$http/readyz")"
}

services_stop_daemon() {
  local rc=0
  kill -TERM "$daemon_pid"
  wait "$daemon_pid" || rc=$?
  daemon_pid=""
  return $rc
}
