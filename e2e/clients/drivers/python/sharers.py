"""Members of share groups that do what standard input says, and answer each line with one on standard output; see
../../README.md."""
import re
import sys

from confluent_kafka import AcknowledgeType, ShareConsumer

BOOTSTRAP = sys.argv[1]


class Member:
    def __init__(self, mode, group, topic):
        self.held, self.refused = {}, []
        self.consumer = ShareConsumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "share.acknowledgement.mode": mode, "max.poll.records": 20})
        self.consumer.set_acknowledgement_commit_callback(lambda offsets, fault: self.note(fault))
        self.consumer.subscribe([topic])

    def note(self, fault):
        if fault is not None:
            self.refused.append(fault.args[0].name())

    def poll(self):
        words = ["got"]
        for m in self.consumer.poll(0.3):
            if m.error() is not None:
                raise RuntimeError(m.error())
            self.held[m.key().decode()] = m
            words.append(f"{m.key().decode()}/{m.delivery_count()}")
        return " ".join(words)

    def ack(self, key, how):
        self.consumer.acknowledge(self.held[key], AcknowledgeType[how.upper()])
        return "ok"

    def commit(self):
        for fault in self.consumer.commit_sync().values():
            self.note(fault)
        answer = "refused " + " ".join(self.refused) if self.refused else "ok"
        self.refused.clear()
        return answer

    def leave(self):
        self.consumer.close()
        return "ok"


def main():
    members = {}
    for line in sys.stdin:
        verb, name, *words = line.split()
        try:
            if verb == "join":
                members[name] = Member(*words)
                answer = "ok"
            else:
                answer = getattr(members[name], verb)(*words)
        except Exception as e:
            answer = "failed " + re.sub(r"\s+", " ", f"{type(e).__name__}: {e}")
        print(answer, flush=True)


main()
