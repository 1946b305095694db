"""Drives confluent-kafka for Python. The features are those of scenario/ in Go; see README.md.

driver.py FEATURE --bootstrap HOST:PORT --topic NAME [...]    exit 0: as expected; exit 1: the reason on standard error
"""
import argparse
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType)
from confluent_kafka import ConsumerGroupTopicPartitions

DEADLINE = time.monotonic() + 100


class Wrong(Exception):
    """The client or the server did not do what the feature expects."""


def expect(condition, text):
    if not condition:
        raise Wrong(text)


def until(what, done):
    while not done():
        expect(time.monotonic() < DEADLINE, "waited for: " + what)
        time.sleep(0.02)


def send(o, records, codec="none", acks=-1, idempotent=False, topic=None):
    """Sends records, dictionaries of produce()'s arguments, and waits until every one is delivered."""
    failed = []
    p = Producer({"bootstrap.servers": o.bootstrap, "compression.type": codec, "acks": acks, "enable.idempotence": idempotent, "max.in.flight": 1, "linger.ms": 5})
    for r in records:
        p.produce(topic or o.topic, partition=r.pop("partition", 0), on_delivery=lambda e, _: failed.append(e) if e else None, **r)
    left = p.flush(30)
    expect(left == 0, f"{left} records were not delivered")
    expect(not failed, f"not delivered: {failed[:1]}")


def consumer(o, group="unused"):
    return Consumer({"bootstrap.servers": o.bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                     "session.timeout.ms": 10000, "heartbeat.interval.ms": 300, "fetch.wait.max.ms": 100})


def leave(c):
    """Closes a consumer when there is a coordinator that can be told: the library tells nobody while it looks for one
    (rd_kafka_cgrp_leave), and the group would wait for the member's session to end, with any broker."""
    try:
        if c.assignment():
            c.committed(c.assignment(), timeout=20)
    except KafkaException:
        pass
    c.close()


def read(o, n, offset=OFFSET_BEGINNING, ready=lambda: None, at_millis=None, at_end=False):
    c = consumer(o)
    try:
        if at_millis is not None:
            offset = c.offsets_for_times([TopicPartition(o.topic, 0, at_millis)], 10)[0].offset
        if at_end:
            offset = c.get_watermark_offsets(TopicPartition(o.topic, 0), 10)[1]
        c.assign([TopicPartition(o.topic, 0, offset)])
        ready()
        got = []
        while len(got) < n:
            expect(time.monotonic() < DEADLINE, f"{len(got)} of {n} records")
            m = c.poll(1)
            if m is not None:
                expect(m.error() is None, str(m.error()))
                got.append(m)
        return got
    finally:
        c.close()


def produce(o):
    for codec in o.codecs.split(","):
        for acks in o.acks.split(","):
            send(o, [{"key": str(i), "value": f"{codec}/{acks}/{i} " + "payload " * 20} for i in range(o.count)], codec, int(acks))


def fields(o):
    at = int(time.time() * 1000) - 3600000
    sent = [
        {"key": b"key", "value": b"value", "timestamp": at, "headers": [("one", b"1"), ("two", b"\x00\xff"), ("one", b"again")]},
        {"key": None, "value": b"no key", "timestamp": at + 1},
        {"key": b"no value", "value": None, "timestamp": at + 2},
        {"key": b"empty", "value": b"", "timestamp": at - 5000},
        {"key": "ключ".encode(), "value": b"0123456789" * 90000, "timestamp": at + 4},
    ]
    send(o, [dict(r) for r in sent])
    for want, m in zip(sent, read(o, len(sent))):
        got = {"key": m.key(), "value": m.value(), "timestamp": m.timestamp()[1]}
        if m.headers():
            got["headers"] = m.headers()
        expect(got == want, f"got {str(got)[:200]}, want {str(want)[:200]}")


def idempotence(o):
    send(o, [{"value": f"idempotent/{i}"} for i in range(o.count)], idempotent=True)


def expect_values(got, prefix, first=0):
    for i, m in enumerate(got):
        expect(m.value().decode() == f"{prefix}{first + i}", f"record {i} is {m.value()[:80]}")


def start(o):
    expect_values(read(o, o.count), "fill/")


def at_time(o):
    expect_values(read(o, o.count // 2, at_millis=o.time), "fill/", o.count // 2)


def end(o):
    expect_values(read(o, 5, at_end=True, ready=lambda: send(o, [{"value": f"after/{i}"} for i in range(5)])), "after/")


class Worker(threading.Thread):
    """A member that polls and commits until it is told to leave."""

    def __init__(self, o, seen):
        super().__init__(daemon=True)
        self.o, self.seen, self.count, self.leave, self.failed = o, seen, 0, False, None
        self.start()

    def run(self):
        c = consumer(self.o, self.o.group)
        try:
            c.subscribe([self.o.topic])
            while not self.leave:
                messages = c.consume(100, 0.3)
                for m in messages:
                    expect(m.error() is None, str(m.error()))
                    self.seen.add(m.value())
                self.count += len(messages)
                try:
                    if messages:
                        c.commit(asynchronous=False)
                except KafkaException:
                    pass  # the group rebalances: the records come again, which is allowed
        except Exception as e:
            self.failed = e
        finally:
            leave(c)

    def stop(self):
        self.leave = True
        self.join(30)
        expect(self.failed is None, f"a member failed: {self.failed}")


def group(o):
    seen, stop, sent = set(), threading.Event(), []

    def load():
        n = 0
        while not stop.is_set():
            send(o, [{"value": f"load/{n + i}", "partition": i % 6} for i in range(12)])
            n += 12
        sent.append(n)

    producer = threading.Thread(target=load, daemon=True)
    producer.start()
    a = Worker(o, seen)
    until("a receives", lambda: a.count > 50)
    b = Worker(o, seen)
    until("b receives", lambda: b.count > 50)
    a.stop()
    d = Worker(o, seen)
    until("d receives", lambda: d.count > 50)
    before = b.count
    until("b still receives", lambda: b.count > before + 50)
    stop.set()
    producer.join(30)
    expect(sent, "producing under load failed")
    until(f"all {sent[0]} are seen, not {len(seen)}", lambda: len(seen) == sent[0])
    b.stop()
    d.stop()


def commits(o):
    for half in range(2):
        send(o, [{"value": f"half/{half}/{i}"} for i in range(o.count)])
        c = consumer(o, o.group)
        c.subscribe([o.topic])
        n = 0
        while n < o.count:
            expect(time.monotonic() < DEADLINE, f"{n} of {o.count} records")
            m = c.poll(1)
            if m is not None:
                expect(m.error() is None, str(m.error()))
                expect(m.value().decode() == f"half/{half}/{n}", f"got {m.value()[:80]}")
                n += 1
        c.commit(asynchronous=False)
        leave(c)


def transactions(o):
    """Copies a filled topic in transactions of 30; the second is aborted and done again by another client."""
    following, aborted = 0, False
    while following < o.count:
        c = consumer(o, o.group)
        c.subscribe([o.topic])
        p = Producer({"bootstrap.servers": o.bootstrap, "transactional.id": o.topic, "linger.ms": 5})
        p.init_transactions(30)
        commit = True
        while commit and following < o.count:
            n = min(30, o.count - following)
            for i in range(n):
                m = None
                while m is None:
                    expect(time.monotonic() < DEADLINE, f"{i} of {n} records")
                    m = c.poll(1)
                expect(m.error() is None, str(m.error()))
                expect(m.value().decode() == f"fill/{following + i}", f"got {m.value()[:80]}")
            commit = aborted or following != 30
            p.begin_transaction()
            for i in range(n):
                p.produce(o.topic + ".out", partition=0, value=f"{'kept' if commit else 'dropped'}/{following + i}")
            p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 30)
            if commit:
                p.commit_transaction(30)
                following += n
            else:
                p.flush(30)  # an abort drops what waits to be sent
                p.abort_transaction(30)
                aborted = True
        leave(c)


def admin(o):
    return AdminClient({"bootstrap.servers": o.bootstrap})


def only(futures):
    return next(iter(futures.values())).result(20)


def topics(o):
    a = admin(o)

    def count():
        topic = a.list_topics(timeout=10).topics.get(o.topic)
        return len(topic.partitions) if topic else 0

    only(a.create_topics([NewTopic(o.topic, 3, 1, config={"retention.ms": "3600000"})]))
    until("3 partitions", lambda: count() == 3)
    try:
        only(a.create_topics([NewTopic(o.topic, 3, 1)]))
        raise Wrong("a topic was created twice")
    except KafkaException:
        pass
    only(a.create_partitions([NewPartitions(o.topic, 5)]))
    until("5 partitions", lambda: count() == 5)
    only(a.delete_topics([o.topic]))
    until("no topic", lambda: count() == 0)


def configs(o):
    a = admin(o)

    def value():
        return only(a.describe_configs([ConfigResource(ResourceType.TOPIC, o.topic)]))["retention.ms"].value

    def change(to):
        entry = ConfigEntry("retention.ms", to, incremental_operation=AlterConfigOpType.SET)
        only(a.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, o.topic, incremental_configs=[entry])]))

    expect(value() == "604800000", "retention.ms is not its default")
    change("7200000")
    until("the change is seen", lambda: value() == "7200000")
    try:
        change("soon")
        raise Wrong("retention.ms=soon was accepted")
    except KafkaException:
        pass


def groups(o):
    o.count = 10
    commits(o)
    a = admin(o)
    names = lambda: [g.group_id for g in a.list_consumer_groups().result(20).valid]
    expect(o.group in names(), "the group is not listed")
    until("the group is empty", lambda: only(a.describe_consumer_groups([o.group])).state.name == "EMPTY")
    offsets = only(a.list_consumer_group_offsets([ConsumerGroupTopicPartitions(o.group, [TopicPartition(o.topic, 0)])]))
    expect(offsets.topic_partitions[0].offset == 20, f"committed {offsets.topic_partitions[0].offset}")
    only(a.delete_consumer_groups([o.group]))
    expect(o.group not in names(), "the group is still there")


def delete_records(o):
    a = admin(o)  # kept: a client that is collected answers nothing
    only(a.delete_records([TopicPartition(o.topic, 0, o.count // 2)]))
    expect_values(read(o, o.count // 2), "fill/", o.count // 2)


FEATURES = {"produce": produce, "fields": fields, "idempotence": idempotence, "start": start, "end": end, "time": at_time, "group": group,
            "commits": commits, "topics": topics, "configs": configs, "groups": groups, "records": delete_records, "transactions": transactions}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("feature", choices=sorted(FEATURES))
    for name in ("bootstrap", "topic", "group", "codecs", "acks"):
        parser.add_argument("--" + name, default="")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--time", type=int, default=0)
    o = parser.parse_args()
    try:
        FEATURES[o.feature](o)
    except Exception as e:
        sys.exit(f"{type(e).__name__}: {e}")


main()
