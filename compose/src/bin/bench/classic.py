"""The usual design in Python, as a yardstick: read with confluent-kafka, write with the helpers of elasticsearch-py, a hundred
documents at a time, update with upsert. Keeps no order, loses a batch that fails, and has no dead letters.

Arguments: brokers, topic, URL of Elasticsearch, index, number of records. Prints the seconds from the first record on."""

import json
import sys
import time

from confluent_kafka import Consumer
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

BATCH = 100


def action(index, record):
    product = record["product"]
    current = product["stats"]["current"]
    market = str(record["domain_id"])
    document = {
        "asin": record["asin"],
        "title": product["title"],
        "updated_at": record["fetched_at_ms"],
        "prices": {market: {"new": current[1], "avg30": product["stats"]["avg30"], "avg90": product["stats"]["avg90"]}},
    }
    return {"_op_type": "update", "_index": index, "_id": record["asin"], "doc": document, "doc_as_upsert": True}


def main(brokers, topic, url, index, records):
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"{index}-classic",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    elasticsearch = Elasticsearch(url)
    read, began = 0, None
    while read < records:
        messages = consumer.consume(min(BATCH, records - read), timeout=1.0)
        if not messages:
            continue
        if began is None:
            began = time.monotonic()
        actions = []
        for message in messages:
            try:
                actions.append(action(index, json.loads(message.value())))
            except ValueError:
                pass
        bulk(elasticsearch, actions, raise_on_error=False)
        consumer.commit(asynchronous=False)
        read += len(messages)
    print(time.monotonic() - began)
    consumer.close()


main(*sys.argv[1:5], int(sys.argv[5]))
