"""Every committed record of a topic, partition by partition, with Confluent's client: `read_committed.py BROKER TOPIC`. One value a line."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

broker, topic = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": broker,
        "group.id": f"referee-{topic}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        # Said when nothing that is committed is left: markers of transactions are no records.
        "enable.partition.eof": True,
    }
)
for partition in sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions):
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while True:
        message = consumer.poll(60.0)
        if message is None:
            sys.exit(f"partition {partition} of {topic} has no end")
        if not message.error():
            print(message.value().decode())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            break
        else:
            raise KafkaException(message.error())
consumer.close()
