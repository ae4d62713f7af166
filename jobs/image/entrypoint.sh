#!/bin/bash
# What Spark on Kubernetes calls in its pods: `driver` with spark-submit's arguments, `executor` with everything in its environment.
# `archive` is called once, while the image is made.
set -euo pipefail
# A pod may run under an id that /etc/passwd does not know, and the JVM asks for its name.
if ! getent passwd "$(id -u)" >/dev/null; then
  export HADOOP_USER_NAME=${HADOOP_USER_NAME:-spark}
fi
# Classes as the JVM has them in memory, which it need not read, verify and lay out at each start. They hold for class paths that begin with
# these jars in this order; with another one the JVM goes on without them. At one address, so that the JVMs of a node share them.
archive=$SPARK_HOME/classes.jsa
jars=$(IFS=: && set -- "$SPARK_HOME"/jars/*.jar && echo "$*")
use=(-XX:SharedArchiveFile="$archive" -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -Xlog:disable -Xlog:all=error:stderr)
role=${1:-}
case $role in
driver)
  shift
  # Before the folder of the configuration, which is another one for each job; unless the job says itself what stands there.
  grep -qs '^spark\.driver\.extraClassPath' "${SPARK_CONF_DIR:-$SPARK_HOME/conf}/spark.properties" || set -- --driver-class-path "$jars" "$@"
  export SPARK_SUBMIT_OPTS="${use[*]} ${SPARK_SUBMIT_OPTS:-}"
  exec /usr/bin/tini -s -- "$SPARK_HOME/bin/spark-submit" \
    --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
    --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
    --deploy-mode client "$@"
  ;;
executor)
  options=("${use[@]}")
  for name in $(compgen -e | grep '^SPARK_JAVA_OPT_' | sort -t_ -k4 -n); do options+=("${!name}"); done
  exec /usr/bin/tini -s -- java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$jars:${SPARK_CONF_DIR:-$SPARK_HOME/conf}" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
  ;;
archive)
  rm -f "$archive"
  folder=$(mktemp -d)
  SPARK_LOCAL_IP=127.0.0.1 SPARK_SUBMIT_OPTS=-XX:ArchiveClassesAtExit=$archive "$SPARK_HOME/bin/spark-submit" --master 'local[2]' --driver-class-path "$jars" \
    --conf "spark.local.dir=$folder" "${BASH_SOURCE[0]%/*}/warm_up.py" "$folder"
  rm -rf "$folder"
  [ -s "$archive" ] || { echo "Unable to keep the JVM's classes in $archive: Java made no such file. Run this as root, with a JRE that has class data of its own." >&2; exit 1; }
  ;;
*)
  exec /usr/bin/tini -s -- "$@"
  ;;
esac
