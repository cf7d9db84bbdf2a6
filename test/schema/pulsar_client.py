"""Writes and reads with pulsar-client and an Avro schema: `pulsar_client.py <service url> write|read <topic> <count>`, values as JSON lines."""
import json
import sys

import pulsar
from pulsar.schema import AvroSchema, Float, Integer, Long, Record, String


class Trade(Record):
    symbol = String(required=True)
    cents = Long(required=True)
    count = Integer(required=True)
    price = Float()


url, what, topic, count = sys.argv[1:]
client = pulsar.Client(url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
schema = AvroSchema(Trade)
if what == "write":
    producer = client.create_producer(topic, schema=schema, block_if_queue_full=True)
    for line in sys.stdin:
        producer.send_async(Trade(**json.loads(line)), None)
    producer.flush()
else:
    reader = client.subscribe(
        topic, "python", schema=schema, initial_position=pulsar.InitialPosition.Earliest
    )
    for _ in range(int(count)):
        message = reader.receive(20_000)
        value = message.value()
        print(json.dumps({"symbol": value.symbol, "cents": value.cents, "count": value.count, "price": value.price}))
        reader.acknowledge(message)
client.close()
