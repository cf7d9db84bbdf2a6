"""Writes and reads a stream as Python services do: boto3, and AWS's own (de)aggregation of records.

interop.py write ENDPOINT STREAM plain|aggregated   one JSON object a line: key, value (base64), hashKey (optional)
interop.py read ENDPOINT STREAM                     one JSON object a line, in the order of each shard
"""

import base64
import json
import sys

import boto3
from aws_kinesis_agg import aggregator, deaggregator, messages_pb2


def lines():
    return [json.loads(line) for line in sys.stdin if line.strip()]


def write_plain(client, stream):
    for line in lines():
        extra = {"ExplicitHashKey": line["hashKey"]} if "hashKey" in line else {}
        data = base64.b64decode(line["value"])
        client.put_record(StreamName=stream, PartitionKey=line["key"], Data=data, **extra)


def write_aggregated(client, stream):
    whole = aggregator.RecordAggregator()
    for line in lines():
        if whole.add_user_record(line["key"], base64.b64decode(line["value"]), line.get("hashKey")):
            raise SystemExit("more than one aggregate")
    key, hash_key, data = whole.clear_and_get().get_contents()
    extra = {"ExplicitHashKey": hash_key} if hash_key else {}
    client.put_record(StreamName=stream, PartitionKey=key, Data=data, **extra)


def tags_of(data, sub):
    """The deaggregator drops them."""
    message = messages_pb2.AggregatedRecord()
    message.ParseFromString(data[4:-16])
    return {tag.key: tag.value for tag in message.records[sub].tags}


def read_shard(client, stream, shard):
    where = client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    iterator = where["ShardIterator"]
    while iterator:
        found = client.get_records(ShardIterator=iterator)
        for record in found["Records"]:
            raw = {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                    "data": base64.b64encode(record["Data"]).decode(),
                }
            }
            for user in deaggregator.deaggregate_records([raw]):
                content = user["kinesis"]
                aggregated = bool(content.get("aggregated"))
                sub = content.get("subSequenceNumber", 0)
                value = content["data"]
                print(
                    json.dumps(
                        {
                            "shard": shard,
                            "key": content["partitionKey"],
                            "value": value if isinstance(value, str) else value.decode(),
                            "aggregated": aggregated,
                            "hashKey": content.get("explicitHashKey"),
                            "sequence": content["sequenceNumber"],
                            "sub": sub,
                            "tags": tags_of(record["Data"], sub) if aggregated else {},
                        }
                    )
                )
        iterator = found.get("NextShardIterator")
        if not found["Records"] and found["MillisBehindLatest"] == 0:
            return


def main():
    word, endpoint, stream = sys.argv[1:4]
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    client = boto3.client("kinesis", endpoint_url=endpoint, region_name="us-east-1", **keys)
    if word == "read":
        for shard in client.list_shards(StreamName=stream)["Shards"]:
            read_shard(client, stream, shard["ShardId"])
    elif sys.argv[4] == "plain":
        write_plain(client, stream)
    else:
        write_aggregated(client, stream)


main()
