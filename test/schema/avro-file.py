"""Avro files with fastavro or with Apache's own package: `avro-file.py LIBRARY write PATH CODEC` (values as JSON lines on the
input), `avro-file.py LIBRARY read PATH`; LIBRARY is fastavro or apache. `avro-file.py fastavro again` reads files and writes them again:
one a line, as base64."""
import base64
import io
import json
import sys

SCHEMA = {
    "type": "record",
    "name": "Trade",
    "fields": [
        {"name": "symbol", "type": "string"},
        {"name": "cents", "type": "long"},
        {"name": "price", "type": ["null", "double"]},
        {"name": "tags", "type": {"type": "map", "values": "int"}},
        {"name": "legs", "type": {"type": "array", "items": "string"}},
    ],
}


def fastavro_write(out, rows, codec):
    import fastavro

    fastavro.writer(out, fastavro.parse_schema(SCHEMA), rows, codec=codec, sync_interval=2000)


def fastavro_read(file):
    import fastavro

    return fastavro.reader(file)


def apache_write(out, rows, codec):
    import avro.datafile
    import avro.io
    import avro.schema

    schema = avro.schema.parse(json.dumps(SCHEMA))
    with avro.datafile.DataFileWriter(out, avro.io.DatumWriter(), schema, codec=codec) as writer:
        for row in rows:
            writer.append(row)


def apache_read(file):
    import avro.datafile
    import avro.io

    return avro.datafile.DataFileReader(file, avro.io.DatumReader())


def again(data):
    import fastavro

    file = fastavro.reader(io.BytesIO(data))
    out = io.BytesIO()
    fastavro.writer(out, file.writer_schema, list(file), codec=file.codec, sync_interval=100)
    return out.getvalue()


library, action, path = (*sys.argv[1:], None)[:3]
if action == "again":
    for line in sys.stdin:
        print(base64.b64encode(again(base64.b64decode(line))).decode())
elif action == "write":
    rows = [json.loads(line) for line in sys.stdin]
    with open(path, "wb") as out:
        (fastavro_write if library == "fastavro" else apache_write)(out, rows, sys.argv[4])
else:
    with open(path, "rb") as file:
        for row in (fastavro_read if library == "fastavro" else apache_read)(file):
            print(json.dumps(row))
