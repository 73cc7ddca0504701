#!/usr/bin/env bash
# Real Kafka brokers (KRaft nodes) and a real schema registry for tests and benches, from Maven Central.
#
#   scripts/kafka.sh install                       Java, Maven and the jars, if missing
#   scripts/kafka.sh start DIR                     start a broker; its address is printed and left in DIR/bootstrap
#   scripts/kafka.sh stop DIR                      stop it; a later start of the same DIR finds its data and its address again
#   scripts/kafka.sh cluster start|stop DIR        three of them that hold three copies of everything, two of them in sync
#   scripts/kafka.sh node start|stop|kill DIR N    one of the three (1 to 3): start it, ask it to end, end it with kill -9
#   scripts/kafka.sh tool CLASS ARGS…              run one of Kafka's command-line tools
#   scripts/kafka.sh registry start|stop DIR       a Confluent-compatible registry; its address is left in DIR/registry
#
# A process's id lies beside its address (DIR/broker.pid, of a cluster DIR/N/broker.pid, DIR/registry.pid) for tests that
# kill it.
set -euo pipefail

readonly APICURIO=3.0.9
# Three nodes share a small machine with what is tested: less heap, and no second compiler that competes with it.
readonly node_options=(-Xms400m -Xmx400m -XX:TieredStopAtLevel=1)
readonly nodes=(1 2 3)
readonly tool_heap=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
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

# So many different ports, below the range from which connections take theirs.
free_ports() {
  local count=$1 port found=' '
  for _ in {1..200}; do
    port=$((20000 + RANDOM % 12000))
    [[ $found == *" $port "* ]] || answers "$port" || found+="$port "
    (($(wc -w <<<"$found") < count)) || {
      printf '%s\n' "$found"
      return
    }
  done
  fail "no free ports found"
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

# configure DIR NODE PORT VOTERS COPIES ID: writes a node's settings and formats its storage.
configure() {
  local dir=$1 node=$2 port=$3 voters=$4 copies=$5 id=$6 controller
  local in_sync=$((copies > 1 ? 2 : 1))
  # Its own place in NODE@HOST:PORT,…
  controller=${voters#*"$node@"}
  controller=${controller%%,*}
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
PROPERTIES
  # A broker that was killed may come back only when its session is over: sooner than by default.
  ((copies == 1)) || printf 'broker.session.timeout.ms=5000\nbroker.heartbeat.interval.ms=1000\n' >>"$dir/server.properties"
  run_class kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
    fail "the storage could not be formatted; see $dir/format.log"
  printf '127.0.0.1:%s\n' "$port" >"$dir/bootstrap"
}

# launch DIR OPTIONS…: starts a node that is configured, with options for Java.
launch() {
  local dir=$1
  shift
  alive "$dir/broker.pid" && fail "a broker runs in $dir already"
  setsid java -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -Dkafka.logs.dir="$dir" \
    "$@" -XX:+UseSerialGC -cp "$jars/*" kafka.Kafka "$dir/server.properties" \
    >>"$dir/broker.log" 2>&1 </dev/null 9>&- &
  printf '%s\n' "$!" >"$dir/broker.pid"
}

# Until a node that was launched answers.
await() {
  local dir=$1 address
  address=$(<"$dir/bootstrap")
  wait_for "$dir/broker.pid" "$dir/broker.log" answers "${address##*:}"
}

# A port answers before its broker is registered: only the second says that topics can be made, on so many brokers.
registered() {
  local address=$1 count=$2 log=$3 found
  for _ in {1..60}; do
    found=$(run_class org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$address" 2>>"$log" |
      grep -c '^[0-9]') || true
    ((found < count)) || return 0
    sleep 0.5
  done
  fail "the brokers do not answer; see $log"
}

start_broker() {
  local dir=$1 ports
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  alive "$dir/broker.pid" && fail "a broker runs in $dir already"
  heap=("${tool_heap[@]}")
  if [[ ! -f $dir/bootstrap ]]; then
    read -ra ports < <(free_ports 2)
    configure "$dir" 1 "${ports[0]}" "1@127.0.0.1:${ports[1]}" 1 "$(run_class kafka.tools.StorageTool random-uuid)"
  fi
  launch "$dir" -Xms512m -Xmx512m
  await "$dir"
  registered "$(<"$dir/bootstrap")" 1 "$dir/broker.log"
  cat "$dir/bootstrap"
}

start_cluster() {
  local dir=$1 node id voters ports
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  heap=("${tool_heap[@]}")
  if [[ ! -f $dir/bootstrap ]]; then
    read -ra ports < <(free_ports 6)
    voters="1@127.0.0.1:${ports[3]},2@127.0.0.1:${ports[4]},3@127.0.0.1:${ports[5]}"
    id=$(run_class kafka.tools.StorageTool random-uuid)
    for node in "${nodes[@]}"; do
      configure "$dir/$node" "$node" "${ports[node - 1]}" "$voters" 3 "$id"
    done
    printf '127.0.0.1:%s,127.0.0.1:%s,127.0.0.1:%s\n' "${ports[@]:0:3}" >"$dir/bootstrap"
  fi
  for node in "${nodes[@]}"; do launch "$dir/$node" "${node_options[@]}"; done
  for node in "${nodes[@]}"; do await "$dir/$node"; done
  registered "$(<"$dir/bootstrap")" 3 "$dir/tools.log"
  cat "$dir/bootstrap"
}

# All at once: the last one alone would wait in vain for a majority that takes note of its end.
stop_cluster() {
  local dir=$1 node
  for node in "${nodes[@]}"; do stop_process "$dir/$node/broker.pid" & done
  wait
}

kill_process() {
  local pid_file=$1
  alive "$pid_file" || fail "no process of $pid_file runs"
  kill -9 "$(<"$pid_file")"
  while alive "$pid_file"; do sleep 0.1; done
  rm -f "$pid_file"
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
  port=$(free_ports 1)
  port=${port// /}
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
    heap=("${tool_heap[@]}")
    run_class "${@:2}"
    ;;
  "cluster start")
    jars=$(libs)
    start_cluster "${3:?the folder}"
    ;;
  "cluster stop") stop_cluster "${3:?the folder}" ;;
  "node start")
    jars=$(libs)
    launch "${3:?the folder}/${4:?which node}" "${node_options[@]}"
    await "$3/$4"
    ;;
  "node stop") stop_process "${3:?the folder}/${4:?which node}/broker.pid" ;;
  "node kill") kill_process "${3:?the folder}/${4:?which node}/broker.pid" ;;
  "registry start") start_registry "${3:?the folder}" ;;
  "registry stop") stop_process "${3:?the folder}/registry.pid" ;;
  *)
    sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
