"""What the parts of the soak test have in common: the names of topics, and reading all of a topic.

    clients.py topics DIR     makes the source topics
    clients.py drained DIR    waits until intake and detect have dealt with all there is
"""

import pathlib
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

APPLICATION = "soak"
SOURCES = {"usage": "soak-usage", "error_log": "soak-error-log", "billing": "soak-billing", "ticket": "soak-ticket"}
JOURNAL, DEAD_LETTERS = "soak-journal", "soak-dlq"
ALERTS, ALERTS_STATE, DECISIONS = "soak-alerts", "soak-alerts-state", "soak-decisions"
CHANGELOG = "soak-changelog"
SOURCE_PARTITIONS = 4
COPIES = 3
# Seconds that anything may take before it is given up.
LIMIT_S = 240


def bootstrap(folder):
    return (pathlib.Path(folder) / "kafka" / "bootstrap").read_text().strip()


def admin(folder):
    return AdminClient({"bootstrap.servers": bootstrap(folder), "log_level": 4})


def partitions(client, topic):
    return sorted(client.list_topics(topic, timeout=30).topics[topic].partitions)


def read_all(folder, topic, isolation="read_committed"):
    """Every visible record of a topic, by partition in the order of offsets."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap(folder),
        "group.id": "soak-reader",
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
    })
    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions(consumer, topic)]
    consumer.assign(places)
    left, found, until = len(places), {place.partition: [] for place in places}, time.monotonic() + LIMIT_S
    while left:
        if time.monotonic() > until:
            raise TimeoutError(f"{topic} could not be read to its end")
        for message in consumer.consume(10_000, timeout=1):
            if message.error() is None:
                found[message.partition()].append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left -= 1
            else:
                raise RuntimeError(f"{topic}: {message.error()}")
    consumer.close()
    return [message for number in sorted(found) for message in found[number]]


def ends(client, topics, isolation=IsolationLevel.READ_UNCOMMITTED):
    """The next offset of every partition; with `READ_COMMITTED` that of the first record of an open transaction."""
    places = [TopicPartition(topic, number) for topic in topics for number in partitions(client, topic)]
    asked = client.list_offsets(
        {place: OffsetSpec.latest() for place in places}, isolation_level=isolation, request_timeout=30
    )
    return {(place.topic, place.partition): future.result().offset for place, future in asked.items()}


def lag(client, group, wanted):
    """How many records of a group are left until it has committed these offsets."""
    places = [TopicPartition(topic, number) for topic, number in wanted]
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)], request_timeout=30)
    (future,) = asked.values()
    committed = {(place.topic, place.partition): max(place.offset, 0) for place in future.result().topic_partitions}
    return sum(max(end - committed[place], 0) for place, end in wanted.items())


def wait_for(what, done):
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            left = done()
        except Exception as error:  # A broker that has just come back may refuse; what counts is that it ends.
            left = error
        if not left:
            return
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {LIMIT_S} s, {left!r}")
        time.sleep(0.2)


def make_topics(folder):
    client = admin(folder)
    topics = [NewTopic(topic, SOURCE_PARTITIONS, COPIES) for topic in SOURCES.values()]
    for future in client.create_topics(topics, operation_timeout=30).values():
        future.result()


def wait_drained(folder):
    """Each round waits for what the round before has made; two lie between a record and an alert across accounts: tasks
    tell each other with the first tick of the next second. A round more makes sure that such ticks lie in between, as it
    begins when every partition has two records more."""
    client = admin(folder)
    wait_for("intake", lambda: lag(client, f"{APPLICATION}-intake", ends(client, SOURCES.values())))
    for number in range(4):
        wanted = ends(client, [JOURNAL])
        wait_for(f"detect, round {number}", lambda: lag(client, f"{APPLICATION}-detect", wanted))
        wait_for("ticks", lambda: [place for place, end in ends(client, [JOURNAL]).items() if end < wanted[place] + 2])


def main():
    command, folder = sys.argv[1:]
    {"topics": make_topics, "drained": wait_drained}[command](folder)


if __name__ == "__main__":
    main()
