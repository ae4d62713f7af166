#!/bin/bash
# What Spark on Kubernetes calls in its pods: `driver` with spark-submit's arguments, `executor` with everything in its environment.
set -euo pipefail
# A pod may run under an id that /etc/passwd does not know, and the JVM asks for its name.
if ! getent passwd "$(id -u)" >/dev/null; then
  export HADOOP_USER_NAME=${HADOOP_USER_NAME:-spark}
fi
role=${1:-}
case $role in
driver)
  shift
  exec /usr/bin/tini -s -- "$SPARK_HOME/bin/spark-submit" \
    --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
    --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
    --deploy-mode client "$@"
  ;;
executor)
  options=()
  for name in $(compgen -e | grep '^SPARK_JAVA_OPT_' | sort -t_ -k4 -n); do options+=("${!name}"); done
  exec /usr/bin/tini -s -- java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CONF_DIR:-$SPARK_HOME/conf}:$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
  ;;
*)
  exec /usr/bin/tini -s -- "$@"
  ;;
esac
