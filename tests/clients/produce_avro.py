"""Writes JSON lines from standard input to a topic as Avro, with confluent-kafka's own serializer and a real registry.

usage: produce_avro.py BROKERS REGISTRY TOPIC SCHEMA_FILE < lines
A line is {"key": ..., "timestamp": ms, "value": {...}}.
"""

import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main() -> None:
    brokers, registry, topic, schema_file = sys.argv[1:5]
    with open(schema_file, encoding="utf-8") as file:
        schema = file.read()
    serialize = AvroSerializer(SchemaRegistryClient({"url": registry}), schema)
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    context = SerializationContext(topic, MessageField.VALUE)
    count = 0
    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(
            topic,
            key=record.get("key"),
            value=serialize(record["value"], context),
            timestamp=record["timestamp"],
        )
        producer.poll(0)
        count += 1
    left = producer.flush(60)
    if left:
        sys.exit(f"{left} of {count} records were not delivered")
    print(count)


if __name__ == "__main__":
    main()
