"""Quix Streams with the topologies of the bench.

`peer.py SERVERS FOLDER` takes lines: `map ID FROM TO` or `count ID FROM TO` starts one, `stop` ends it. It says `first` when a
topology sees its first record, and `stopped`.
"""

import struct
import sys
import threading

from quixstreams import Application

servers, folder = sys.argv[1:3]


def say(word):
    print(word, flush=True)


def application(topology, name, source, target):
    app = Application(
        broker_address=servers,
        consumer_group=name,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.1,
        state_dir=f"{folder}/{name}",
        loglevel="ERROR",
        # Larger steps than the defaults: it is the faster for them.
        producer_extra_config={"linger.ms": 20, "batch.num.messages": 10_000, "queue.buffering.max.messages": 1_000_000},
    )
    first = [True]

    def seen():
        if first[0]:
            first[0] = False
            say("first")

    def copy(value):
        seen()
        return value

    def count(value, state):
        seen()
        number = state.get("count", 0) + 1
        state.set("count", number)
        return struct.pack(">d", number) + value[8:]

    frame = app.dataframe(app.topic(source, key_deserializer="bytes", value_deserializer="bytes"))
    frame = frame.apply(copy) if topology == "map" else frame.apply(count, stateful=True)
    frame.to_topic(app.topic(target, key_serializer="bytes", value_serializer="bytes"))
    return app


for line in sys.stdin:
    words = line.split()
    app = application(*words)

    def stop():
        sys.stdin.readline()
        app.stop()

    threading.Thread(target=stop, daemon=True).start()
    app.run()
    say("stopped")
