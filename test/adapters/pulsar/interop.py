"""What a Python service does with pulsar-client: `interop.py write|read SERVICE_URL TOPIC [COUNT]`, JSON lines both ways."""
import base64
import json
import os
import sys

import pulsar

command, service_url, topic = sys.argv[1:4]
client = pulsar.Client(service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error), operation_timeout_seconds=20)

if command == "write":
    producer = client.create_producer(
        topic,
        batching_enabled=True,
        batching_max_publish_delay_ms=20,
        message_routing_mode=pulsar.PartitionsRoutingMode.RoundRobinDistribution,
    )
    for line in sys.stdin:
        message = json.loads(line)
        producer.send_async(
            base64.b64decode(message["value"]),
            lambda result, _: result == pulsar.Result.Ok or sys.exit(str(result)),
            partition_key=message.get("key"),
            properties=message.get("properties"),
            event_timestamp=message.get("eventTime"),
        )
    producer.flush()
else:
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    for _ in range(int(sys.argv[4])):
        message = reader.read_next(timeout_millis=20000)
        row = {
            "value": base64.b64encode(message.data()).decode(),
            "key": message.partition_key(),
            "properties": message.properties(),
            "eventTime": message.event_timestamp(),
        }
        print(json.dumps(row))

client.close()
sys.stdout.flush()
# All is done. The threads of the native client do not always survive the end of the interpreter.
os._exit(0)
