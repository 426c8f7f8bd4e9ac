#!/bin/bash
# A real Apache Kafka broker (one KRaft node on 127.0.0.1) from the jars of pom.xml.
#
#   kafka.sh jars                          fetch the jars through Maven (once), print their folder
#   kafka.sh start --dir D [--port P] [--set key=value]...
#                                          format D if new, start in the background, wait until ready,
#                                          print the address
#   kafka.sh restart --dir D               start again: same folder, same ports
#   kafka.sh stop --dir D                  controlled shutdown (killed after 20 s)
#   kafka.sh kill9 --dir D                 SIGKILL
#   kafka.sh status --dir D                print the address if it runs, else end with status 1
#   kafka.sh prepare --dir D [--port P] [--set key=value]...   format only
#   kafka.sh run --dir D                   become the broker (exec): for a caller that watches the process
#
# In D: address ("127.0.0.1:port"), pid, server.properties, server.log, data/.
# Status 77 and "SKIP kafka: ..." if the jars cannot be had or there is no Java 17 or newer.
# Jars: $FRESHET_KAFKA_JARS, else build/kafka-jars of this tree. Heap: $FRESHET_KAFKA_HEAP (512m).
# $FRESHET_KAFKA_JAVA_OPTS is appended to the java options (the quick compiler only is used, to start
# fast; -XX:TieredStopAtLevel=4 for long benchmarks).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=${FRESHET_KAFKA_JARS:-$here/../../build/kafka-jars}
heap=${FRESHET_KAFKA_HEAP:-512m}
ready_line='Kafka Server started'

die() {
  echo "kafka.sh: $*" >&2
  exit 1
}
skip() {
  echo "SKIP kafka: $*" >&2
  exit 77
}
usage() {
  sed -n '2,20s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

need_java() {
  command -v java >/dev/null || skip "no Java 17 or newer (package default-jre-headless)"
  local version
  version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${version:-0}" -ge 17 ] || skip "no Java 17 or newer (java says ${version:-nothing})"
}

fetch_jars() {
  local want stamp
  want=$(cksum <"$here/pom.xml")
  stamp=$jars/.complete
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return 0
  mkdir -p "$jars"
  exec 8>"$jars/.lock"
  flock 8
  if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
    command -v mvn >/dev/null || skip "download failed: no mvn (package maven)"
    rm -f "$jars"/*.jar "$stamp"
    local log=$jars/.download.log try
    for try in 1 2 3; do
      if mvn -B -q -f "$here/pom.xml" -Dmaven.repo.local="$jars/.repository" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >"$log" 2>&1; then
        echo "$want" >"$stamp"
        break
      fi
      [ "$try" = 3 ] || sleep $((try * 3))
    done
    rm -rf "$jars/.repository"
    [ -e "$stamp" ] || {
      grep -m 3 ERROR "$log" >&2 || tail -3 "$log" >&2
      skip "download failed: Maven could not fetch the Kafka jars (log: $log)"
    }
  fi
  flock -u 8
  exec 8>&-
}

dir=""
port=""
settings=()
parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dir) dir=${2:?--dir needs a folder}; shift 2 ;;
      --port) port=${2:?--port needs a number}; shift 2 ;;
      --set) settings+=("${2:?--set needs key=value}"); shift 2 ;;
      *) die "unknown option '$1' (kafka.sh --help)" ;;
    esac
  done
  [ -n "$dir" ] || die "--dir is missing (kafka.sh --help)"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
}

# A port nobody listens on, below the range from which the kernel serves outgoing connections (so
# that no client connection takes it while the broker is down).
free_port() {
  local try p
  for try in $(seq 100); do
    p=$((10000 + (RANDOM * 32768 + RANDOM) % 22000))
    if ! (: <"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then
      echo "$p"
      return 0
    fi
  done
  die "no free port"
}

broker_pid() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  # The pid must still be our broker, not a stranger that got its number.
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "kafka.Kafka $dir/server.properties" || return 1
  echo "$pid"
}

java_opts() {
  echo "-Xms128m -Xmx$heap -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto" \
    "-Djava.awt.headless=true -Dlog4j2.configurationFile=$here/log4j2.properties ${FRESHET_KAFKA_JAVA_OPTS:-}"
}

prepare() {
  need_java
  fetch_jars
  [ ! -e "$dir/address" ] || return 0
  local p=${port:-$(free_port)} q s
  q=$(free_port)
  while [ "$q" = "$p" ]; do q=$(free_port); done
  sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$p|g" -e "s|@CONTROLLER_PORT@|$q|g" \
    "$here/server.properties" >"$dir/server.properties"
  for s in ${settings[@]+"${settings[@]}"}; do
    # a later line of the same key wins
    echo "$s" >>"$dir/server.properties"
  done
  local id
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
  case $id in -*) id=A${id#-} ;; esac
  # shellcheck disable=SC2046
  java $(java_opts) -cp "$jars/*" kafka.tools.StorageTool format --cluster-id "$id" \
    --config "$dir/server.properties" >"$dir/format.log" 2>&1 || {
    cat "$dir/format.log" >&2
    die "formatting $dir failed"
  }
  echo "127.0.0.1:$p" >"$dir/address"
}

run() {
  [ -e "$dir/address" ] || die "$dir is not prepared"
  echo $$ >"$dir/pid"
  cd "$dir"
  # shellcheck disable=SC2046
  exec java $(java_opts) -cp "$jars/*" kafka.Kafka "$dir/server.properties"
}

start() {
  local try pid i
  for try in 1 2 3 4 5; do
    prepare
    if pid=$(broker_pid); then
      cat "$dir/address"
      return 0
    fi
    : >"$dir/server.log"
    setsid "${BASH_SOURCE[0]}" run --dir "$dir" >>"$dir/server.log" 2>&1 </dev/null 8>&- &
    pid=$!
    for i in $(seq 600); do
      if grep -q "$ready_line" "$dir/server.log"; then
        cat "$dir/address"
        return 0
      fi
      kill -0 "$pid" 2>/dev/null || [ "$i" -lt 5 ] || break
      sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    # Another process may have taken the port between the choice and the start: choose again, if free to.
    if [ -z "$port" ] && [ "$1" = new ] && grep -q "BindException\|Address already in use" "$dir/server.log"; then
      rm -rf "$dir/address" "$dir/data"
      continue
    fi
    break
  done
  tail -20 "$dir/server.log" >&2
  die "the broker in $dir did not start"
}

stop() {
  local pid i
  pid=$(broker_pid) || return 0
  kill "-$1" "$pid" 2>/dev/null || true
  for i in $(seq 200); do
    broker_pid >/dev/null || { rm -f "$dir/pid"; return 0; }
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  for i in $(seq 50); do
    broker_pid >/dev/null || { rm -f "$dir/pid"; return 0; }
    sleep 0.1
  done
  die "process $pid does not end"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  jars) need_java; fetch_jars; (cd "$jars" && pwd) ;;
  prepare) parse "$@"; prepare ;;
  run) parse "$@"; run ;;
  start) parse "$@"; start new ;;
  restart) parse "$@"; stop TERM; [ -e "$dir/address" ] || die "$dir was never started"; start again ;;
  stop) parse "$@"; stop TERM ;;
  kill9) parse "$@"; stop KILL ;;
  status) parse "$@"; broker_pid >/dev/null || exit 1; cat "$dir/address" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
