"""Reads and writes Event Hubs with Microsoft's Python client, for interop.test.ts.

interop.py read CONNECTION HUB COUNT          prints one line of JSON per event
interop.py write CONNECTION HUB               takes one line of JSON per event: partition or key, value, properties
"""
import base64
import json
import sys

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def plain(value):
    # This client makes bytes of texts, too.
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def read(connection, hub, count):
    client = EventHubConsumerClient.from_connection_string(connection, '$Default', eventhub_name=hub)
    found = []

    def on_event(context, event):
        if event is None:
            return
        found.append(
            {
                'partition': context.partition_id,
                'sequence': event.sequence_number,
                'offset': event.offset,
                'enqueued': int(event.enqueued_time.timestamp() * 1000),
                'key': text(event.partition_key),
                'value': base64.b64encode(b''.join(event.body)).decode(),
                'properties': {text(name): plain(value) for name, value in (event.properties or {}).items()},
            }
        )
        if len(found) >= count:
            client.close()

    with client:
        client.receive(on_event=on_event, starting_position='-1', max_wait_time=1)
    for event in found:
        print(json.dumps(event))


def write(connection, hub):
    with EventHubProducerClient.from_connection_string(connection, eventhub_name=hub) as client:
        for line in sys.stdin:
            given = json.loads(line)
            event = EventData(base64.b64decode(given['value']))
            for name, value in given.get('properties', {}).items():
                event.properties[name] = base64.b64decode(value['bytes']) if isinstance(value, dict) else value
            where = {name: given[own] for own, name in (('partition', 'partition_id'), ('key', 'partition_key')) if own in given}
            batch = client.create_batch(**where)
            batch.add(event)
            client.send_batch(batch)


if __name__ == '__main__':
    if sys.argv[1] == 'read':
        read(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        write(sys.argv[2], sys.argv[3])
