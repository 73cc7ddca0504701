#!/usr/bin/env bash
# A real Kafka broker (one KRaft node) and a real schema registry for tests and benches, from Maven Central.
#
#   scripts/kafka.sh install                    Java, Maven and the jars, if missing
#   scripts/kafka.sh start DIR                  start a broker; its address is printed and left in DIR/bootstrap
#   scripts/kafka.sh stop DIR                   stop it; a later start of the same DIR finds its data and its address again
#   scripts/kafka.sh tool CLASS ARGS…           run one of Kafka's command-line tools
#   scripts/kafka.sh registry start|stop DIR    a Confluent-compatible registry; its address is left in DIR/registry
#
# A process's id lies beside its address (DIR/broker.pid, DIR/registry.pid) for tests that kill it.
set -euo pipefail

readonly APICURIO=3.0.9
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/forewarn/kafka"

fail() {
  printf 'kafka.sh: %s\n' "$*" >&2
  exit 1
}

# Java 17 is what the registry needs at least and what the broker was tried with.
install_packages() {
  local missing=()
  command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
  command -v mvn >/dev/null || missing+=(maven)
  ((${#missing[@]} == 0)) && return
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "please install: ${missing[*]}"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
}

# The jars in a folder named after what is asked for, so that a changed version is fetched anew.
libs() {
  local folder
  folder="$cache/libs-$(cksum <"$here/kafka/pom.xml" | cut -d' ' -f1)"
  if [[ ! -f $folder/.complete ]]; then
    install_packages
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    if [[ ! -f $folder/.complete ]]; then
      mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$folder" >&2
      touch "$folder/.complete"
    fi
    flock -u 9
  fi
  printf '%s\n' "$folder"
}

run_class() {
  java -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" "${heap[@]}" -cp "$jars/*" "$@"
}

answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Below the range from which connections take theirs.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 12000))
    answers "$port" || {
      printf '%s\n' "$port"
      return
    }
  done
  fail "no free port found"
}

alive() {
  [[ -f $1 ]] && kill -0 "$(<"$1")" 2>/dev/null
}

# wait_for PID-FILE LOG COMMAND…: until the command succeeds, the process is gone, or a minute has passed.
wait_for() {
  local pid_file=$1 log=$2
  shift 2
  for _ in {1..600}; do
    "$@" && return
    alive "$pid_file" || break
    sleep 0.1
  done
  tail -n 30 "$log" >&2
  fail "the process did not come up; its output is in $log"
}

stop_process() {
  local pid_file=$1 pid
  alive "$pid_file" || {
    rm -f "$pid_file"
    return 0
  }
  pid=$(<"$pid_file")
  kill "$pid" 2>/dev/null || true
  for _ in {1..200}; do
    alive "$pid_file" || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$pid_file"
}

configure_broker() {
  local dir=$1 broker controller
  broker=$(free_port)
  controller=$(free_port)
  while ((controller == broker)); do controller=$(free_port); done
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
PROPERTIES
  local id
  id=$(run_class kafka.tools.StorageTool random-uuid)
  run_class kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" --standalone >"$dir/format.log" 2>&1 ||
    fail "the storage could not be formatted; see $dir/format.log"
  printf '127.0.0.1:%s\n' "$broker" >"$dir/bootstrap"
}

start_broker() {
  local dir=$1
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  alive "$dir/broker.pid" && fail "a broker runs in $dir already"
  heap=(-Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
  [[ -f $dir/bootstrap ]] || configure_broker "$dir"
  setsid java -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -Dkafka.logs.dir="$dir" \
    -Xms512m -Xmx512m -XX:+UseSerialGC -cp "$jars/*" kafka.Kafka "$dir/server.properties" \
    >"$dir/broker.log" 2>&1 </dev/null 9>&- &
  printf '%s\n' "$!" >"$dir/broker.pid"
  local address
  address=$(<"$dir/bootstrap")
  wait_for "$dir/broker.pid" "$dir/broker.log" answers "${address##*:}"
  # The port answers before the broker is registered: only the second says that topics can be made.
  run_class org.apache.kafka.tools.TopicCommand --bootstrap-server "$address" --list >/dev/null 2>>"$dir/broker.log" ||
    fail "the broker does not answer; see $dir/broker.log"
  printf '%s\n' "$address"
}

start_registry() {
  local dir=$1 home="$cache/apicurio-$APICURIO" port
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  alive "$dir/registry.pid" && fail "a registry runs in $dir already"
  if [[ ! -f $home/.complete ]]; then
    install_packages
    rm -rf "$home"
    mkdir -p "$home"
    mvn -q -B dependency:copy -DoutputDirectory="$cache" \
      -Dartifact="io.apicurio:apicurio-registry-app:$APICURIO:tar.gz:all" >&2
    tar -xzf "$cache/apicurio-registry-app-$APICURIO-all.tar.gz" -C "$home"
    rm "$cache/apicurio-registry-app-$APICURIO-all.tar.gz"
    touch "$home/.complete"
  fi
  local jar
  jar=$(find "$home" -name 'apicurio-registry-app-*-runner.jar' | head -n 1)
  [[ -n $jar ]] || fail "no runnable registry in $home"
  port=$(free_port)
  (
    cd "$(dirname "$jar")"
    exec setsid java -Xmx512m -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" -jar "$jar" \
      >"$dir/registry.log" 2>&1 </dev/null
  ) &
  printf '%s\n' "$!" >"$dir/registry.pid"
  printf 'http://127.0.0.1:%s/apis/ccompat/v7\n' "$port" >"$dir/registry"
  wait_for "$dir/registry.pid" "$dir/registry.log" answers "$port"
  cat "$dir/registry"
}

heap=()
case "${1:-} ${2:-}" in
  "install "*)
    install_packages
    libs >/dev/null
    ;;
  "start "?*)
    jars=$(libs)
    start_broker "$2"
    ;;
  "stop "?*) stop_process "$2/broker.pid" ;;
  "tool "?*)
    jars=$(libs)
    heap=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
    run_class "${@:2}"
    ;;
  "registry start") start_registry "${3:?the folder}" ;;
  "registry stop") stop_process "${3:?the folder}/registry.pid" ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
