#!/bin/bash
# What the lab's Kafka container runs: formats its folder the first time, then becomes the broker.
set -euo pipefail
config=/etc/kafka/server.properties options=(-XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn)
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  java -Xmx128m "${options[@]}" -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --standalone --ignore-formatted -t "$(head -c16 /dev/urandom | base64 | tr +/ -_ | tr -d =)" -c $config
fi
exec java -Xmx384m "${options[@]}" -cp '/opt/kafka/libs/*' kafka.Kafka $config
