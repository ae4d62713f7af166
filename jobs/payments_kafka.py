"""Kafka's Java client, for what the stream asks it beside Spark's source. Used by payments_stream.py beside it."""


def kafka_options(file):
    """Kafka client properties out of a file of `name=value` lines, as options of Spark's source."""
    if not file:
        return {}
    with open(file, encoding="utf-8") as lines:
        pairs = [line.strip().split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#")]
    return {f"kafka.{name.strip()}": value.strip() for name, value in pairs}


def topic_id(spark, args):
    """Kafka's own id of the topic: it is another once the topic was made again, or in another Kafka. None from a broker that gives none."""
    java, given = spark._jvm.java.util, spark._jvm.java.util.Properties()
    for name, value in {"kafka.bootstrap.servers": args.bootstrap, **kafka_options(args.kafka_config)}.items():
        given.setProperty(name.removeprefix("kafka."), value)
    admin = spark._jvm.org.apache.kafka.clients.admin.Admin.create(given)
    try:
        told = admin.describeTopics(java.List.of(args.topic)).allTopicNames().get().get(args.topic).topicId().toString()
    finally:
        admin.close()
    return told if told.strip("A") else None
