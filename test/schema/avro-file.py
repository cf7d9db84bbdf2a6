"""Avro files with fastavro: `avro-file.py write PATH CODEC` (values as JSON lines on the input), `avro-file.py read PATH`."""
import json
import sys

import fastavro

SCHEMA = fastavro.parse_schema(
    {
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
)

if sys.argv[1] == "write":
    rows = [json.loads(line) for line in sys.stdin]
    with open(sys.argv[2], "wb") as out:
        fastavro.writer(out, SCHEMA, rows, codec=sys.argv[3], sync_interval=2000)
else:
    with open(sys.argv[2], "rb") as file:
        for row in fastavro.reader(file):
            print(json.dumps(row))
