"""What a Python service does with google-cloud-pubsub: `interop.py write TOPIC | read SUBSCRIPTION COUNT`, JSON lines both
ways. Topic and subscription are full paths, the server is in PUBSUB_EMULATOR_HOST."""
import base64
import json
import queue
import sys

from google.cloud import pubsub_v1

command, path = sys.argv[1:3]

if command == "write":
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    publisher = pubsub_v1.PublisherClient(publisher_options=options)
    sent = []
    for line in sys.stdin:
        message = json.loads(line)
        sent.append(
            publisher.publish(
                path,
                base64.b64decode(message["value"]),
                ordering_key=message.get("key") or "",
                **(message.get("attributes") or {}),
            )
        )
    for future in sent:
        print(json.dumps(future.result(timeout=30)))
else:
    received = queue.Queue()
    subscriber = pubsub_v1.SubscriberClient()
    pulling = subscriber.subscribe(path, callback=received.put)
    for _ in range(int(sys.argv[3])):
        message = received.get(timeout=30)
        row = {
            "id": message.message_id,
            "value": base64.b64encode(message.data).decode(),
            "key": message.ordering_key,
            "attributes": dict(message.attributes),
        }
        print(json.dumps(row))
        # Answers whether the service has taken it, also without exactly-once delivery.
        message.ack_with_response().result(timeout=30)
    pulling.cancel()
    pulling.result(timeout=30)
    subscriber.close()
