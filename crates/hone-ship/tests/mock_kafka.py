"""A Kafka cluster for a test: librdkafka's mock cluster, on loopback. Prints the address of a broker. With the arguments CERTIFICATE KEY USER
PASSWORD it is that of a front with TLS and SASL. For each line from standard input,
a number, prints so many records of the topic `hone` as JSON lines, from its beginning. Ends with its standard input."""
import json
import sys

from confluent_kafka import Consumer, Producer

from kafka_front import fronts

cluster = Producer({"test.mock.num.brokers": 2})
cluster.produce("hone", b"", partition=0)
cluster.flush(60)
brokers = [f"{broker.host}:{broker.port}" for broker in cluster.list_topics(timeout=60).brokers.values()]
if sys.argv[1:]:
    host, port = fronts([(broker.host, broker.port) for broker in cluster.list_topics(timeout=60).brokers.values()], *sys.argv[1:])
    print(f"{host}:{port}", flush=True)
else:
    print(brokers[0], flush=True)
for number, line in enumerate(sys.stdin):
    consumer = Consumer({"bootstrap.servers": ",".join(brokers), "group.id": f"test-{number}", "auto.offset.reset": "earliest"})
    consumer.subscribe(["hone"])
    wanted = int(line)
    while wanted:
        message = consumer.poll(60)
        if message is None or message.error():
            sys.exit(f"no record: {message and message.error()}")
        if not message.value():
            continue
        wanted -= 1
        headers = {name: value.decode() for name, value in message.headers() or []}
        print(json.dumps({"key": message.key().decode(), "partition": message.partition(), "headers": headers,
                          "value": json.loads(message.value())}), flush=True)
    consumer.close()
