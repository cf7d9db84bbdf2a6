"""Reads payloads of ours with the clients of others, and writes what they read again with the same clients.

fastavro            lines of {"schema", "payload"}: Avro without a header
avro, json, protobuf URL TOPIC [guid|number]   confluent-kafka against a registry; the first line is the schema. With a last word
                    the id stands in a header, behind the payload in a line, and is written in this form
Payloads are base64, one a line.
"""
import base64
import io
import json
import sys

mode = sys.argv[1]
lines = iter(sys.stdin)


def answer(*parts):
    sys.stdout.write(" ".join(base64.b64encode(part).decode() for part in parts) + "\n")


def fastavro_mode():
    import fastavro

    parsed = {}
    for line in lines:
        given = json.loads(line)
        text = json.dumps(given["schema"])
        if text not in parsed:
            parsed[text] = fastavro.parse_schema(given["schema"])
        stream = io.BytesIO(base64.b64decode(given["payload"]))
        value = fastavro.schemaless_reader(stream, parsed[text])
        assert stream.read() == b"", "bytes are left"
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed[text], value)
        answer(out.getvalue())


def confluent_mode():
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.serialization import MessageField, SerializationContext

    url, topic = sys.argv[2], sys.argv[3]
    form = sys.argv[4] if len(sys.argv) > 4 else None
    schema = json.loads(next(lines))
    client = SchemaRegistryClient({"url": url})
    context = SerializationContext(topic, MessageField.VALUE)
    ids = {"schema.id.serializer": id_serializer(form)} if form else {}
    if mode == "avro":
        from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

        read, write = AvroDeserializer(client, schema), AvroSerializer(client, schema, conf=ids)
    elif mode == "json":
        from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

        read, write = JSONDeserializer(schema, schema_registry_client=client), JSONSerializer(schema, client, conf=ids)
    else:
        from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
        for file in schema["files"]:
            pool.AddSerializedFile(base64.b64decode(file))
        message = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema["message"]))
        conf = {"use.deprecated.format": False}
        read = ProtobufDeserializer(message, conf, client)
        settings = {"auto.register.schemas": False, "use.latest.version": True} if schema["latest"] else {}
        write = ProtobufSerializer(message, client, {**conf, **settings, **ids})
    for line in lines:
        if form is None:
            answer(write(read(base64.b64decode(line), context), context))
            continue
        payload, header = (base64.b64decode(part) for part in line.split(" "))
        value = read(payload, SerializationContext(topic, MessageField.VALUE, {HEADER: header}))
        headers = {}
        payload = write(value, SerializationContext(topic, MessageField.VALUE, headers))
        answer(payload, headers[HEADER])


HEADER = "__value_schema_id"


def id_serializer(form):
    """Theirs is by GUID. For registries that give none, the number in the same place, which their deserializers read."""
    from confluent_kafka.schema_registry import header_schema_id_serializer

    def by_number(payload, context, schema_id):
        context.headers[HEADER] = schema_id.id_to_bytes()
        return payload

    return header_schema_id_serializer if form == "guid" else by_number


fastavro_mode() if mode == "fastavro" else confluent_mode()
