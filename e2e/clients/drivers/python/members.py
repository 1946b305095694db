"""Members of consumer groups that come and go as standard input says, and tell on standard output what they see. The lines are
in ../../README.md."""
import re
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException

BOOTSTRAP = sys.argv[1]
OUTPUT = threading.Lock()


def tell(*words):
    with OUTPUT:
        print(*words, flush=True)


class Member(threading.Thread):
    """Polls and commits until it is told to leave."""

    def __init__(self, name, protocol, group, instance, topics):
        super().__init__(name=name)
        self.topics, self.leave = topics, threading.Event()
        self.config = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "group.protocol": protocol, "enable.auto.commit": False,
                       "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100}
        if protocol == "classic":
            self.config.update({"session.timeout.ms": 30000, "heartbeat.interval.ms": 300})
        if instance != "-":
            self.config["group.instance.id"] = instance
        self.start()

    def run(self):
        try:
            while not self.serve():
                time.sleep(0.5)
            tell("left", self.name)
        except Exception as e:
            tell("failed", self.name, re.sub(r"\s+", " ", f"{type(e).__name__}: {e}"))

    def serve(self):
        """Is a member until it is told to leave. False: the instance id is not free, start again.

        librdkafka says once that it leaves, and not at all while it looks for its coordinator (rd_kafka_cgrp_consumer_leave): with any
        broker nobody hears it then. The instance id is free when the session of who had it has ended, and whoever runs static
        members starts a process again that ends with this error."""
        c = Consumer(self.config)
        try:
            # With a callback partitions are taken away only while it polls. Without, they could go between the poll and the
            # commit, which then leaves them out without a word.
            c.subscribe([self.topics], on_revoke=lambda *_: None)
            self.work(c)
            self.await_coordinator(c)
        except KafkaException as e:
            if self.leave.is_set() or "instance ID is still used" not in str(e):
                raise
            return False
        finally:
            c.close()
        return True

    def await_coordinator(self, c):
        """Who leaves without one tells nobody."""
        try:
            if c.assignment():
                c.committed(c.assignment(), timeout=30)
        except KafkaException:
            pass  # then it cannot be told

    def work(self, c):
        assigned = []
        while not self.leave.is_set():
            messages = c.consume(100, 0.1)
            now = sorted(f"{p.topic}-{p.partition}" for p in c.assignment())
            if now != assigned:
                assigned = now
                tell("assigned", self.name, *assigned)
            for m in messages:
                if m.error() is not None and not m.error().retriable():
                    raise KafkaException(m.error())
            values = [m.value().decode() for m in messages if m.error() is None]
            if not values:
                continue
            tell("seen", self.name, *values)
            try:
                c.commit(asynchronous=False)
            except KafkaException:
                tell("uncommitted", self.name, *values)  # they may come again


def main():
    members = {}
    for line in sys.stdin:
        word = line.split()
        if word[0] == "join":
            members[word[1]] = Member(*word[1:])
        else:
            members[word[1]].leave.set()
    for m in members.values():
        m.leave.set()
    for m in members.values():
        m.join()


main()
