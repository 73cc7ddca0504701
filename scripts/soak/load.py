"""Load of the soak test: records of some accounts at a steady rate, a share of them bad, for a number of seconds.

    load.py DIR SECONDS SEED RATE

What was acknowledged is written to DIR/sent.jsonl: [topic, partition, offset, what it is]. An account's records all go to
one partition of a topic, with event times that only grow. What is sent follows from the seed, when it is sent does not.
"""

import collections
import json
import pathlib
import random
import sys
import time

from confluent_kafka import Producer

from clients import SOURCES, bootstrap

ACCOUNTS = 60
# Records that the rules of the soak wait for: see rules/soak.yaml.
FAILURES, GROUP = 5, 5
# Shares of what is sent.
BAD, FILTERED, TWICE = 0.03, 0.01, 0.03
# Invoices of an account that are never paid: their alerts stay open.
FORGOTTEN_MAX = 20
# How much may wait for the brokers before the load waits, too.
WAITING_MAX = 50_000


class Load:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = collections.Counter()
        self.invoices = collections.defaultdict(dict)
        self.forgotten = collections.Counter()
        self.plans = {}
        self.tickets = collections.defaultdict(dict)
        self.groups = []

    def fresh(self, prefix):
        self.numbers[prefix] += 1
        return f"{prefix}{self.numbers[prefix]}"

    def next(self):
        """Kind, account, class and fields of the next record."""
        chance = self.random.random()
        account = f"a{self.random.randrange(ACCOUNTS)}"
        if chance < BAD:
            return self.random.choice(list(SOURCES)), account, "bad", self.bad(account)
        if chance < BAD + FILTERED:
            return "error_log", account, "filtered", {
                "event": "connection.failed", "integration": "db0", "traffic": self.random.choice(["internal", "test"])
            }
        kind = self.random.choices(["billing", "error_log", "usage", "ticket"], [30, 30, 25, 15])[0]
        fields = {"billing": self.invoice, "error_log": self.failure, "usage": self.use, "ticket": self.ticket}[kind]
        return kind, account, "good", fields(account)

    def bad(self, account):
        return self.random.choice([
            b'{"event_id": "cut',
            b"\xff\xfe no record",
            b"null",
            json.dumps({"event_id": self.fresh("b"), "account_id": account}).encode(),
            json.dumps({"event_id": self.fresh("b"), "account_id": account, "event": "api.error",
                        "type": "ticket.created", "ticket_id": "t", "event_time": "not a time"}).encode(),
        ])

    def invoice(self, account):
        running = self.invoices[account]
        if not running or (len(running) < 3 and self.random.random() < 0.4):
            invoice = self.fresh("in")
            running[invoice] = 1
            if self.random.random() < 0.1 and self.forgotten[account] < FORGOTTEN_MAX:
                self.forgotten[account] += 1
                del running[invoice]
            return {"type": "invoice.payment_failed", "invoice_id": invoice, "attempt_count": 1}
        invoice = self.random.choice(list(running))
        if running[invoice] < 4 and self.random.random() < 0.5:
            running[invoice] = {1: 3, 3: 4}[running[invoice]]
            return {"type": "invoice.payment_failed", "invoice_id": invoice, "attempt_count": running[invoice]}
        del running[invoice]
        return {"type": "invoice.paid", "invoice_id": invoice}

    def failure(self, account):
        """Some failures, perhaps too few, mended, perhaps with failures that open nothing, begun anew.

        None beyond what it takes while the alert is open: how often an alert is updated depends on when.
        """
        integration = f"db{self.random.randrange(3)}"
        plan = self.plans.setdefault((account, integration), collections.deque())
        if not plan:
            count = self.random.choice([1, 3, FAILURES - 1, FAILURES, FAILURES, FAILURES])
            plan.extend(["connection.failed"] * count + ["connection.restored"])
            plan.extend(["connection.failed"] * self.random.randint(0, 2 if count == FAILURES else 0))
            plan.append("health.restored")
        return {"event": plan.popleft(), "integration": integration, "error_code": "E_NET"}

    def use(self, account):
        if self.random.random() < 0.4:
            return {"event": "feature.used", "user_id": f"{account}-u{self.random.randrange(5)}"}
        while len(self.groups) < 4:
            self.groups.append([self.fresh("group-"), GROUP - self.random.randrange(2)])
        group = self.random.choice(self.groups)
        group[1] -= 1
        if not group[1]:
            self.groups.remove(group)
        return {"event": "sync.completed", "integration": group[0]}

    def ticket(self, account):
        running = self.tickets[account]
        if not running or (len(running) < 3 and self.random.random() < 0.3):
            ticket = self.fresh("t")
            running[ticket] = self.random.randint(0, 3)
            return {"type": "ticket.created", "ticket_id": ticket, "status": "new"}
        ticket = self.random.choice(list(running))
        if running[ticket]:
            running[ticket] -= 1
            return {"type": "ticket.reopened", "ticket_id": ticket, "status": "open"}
        del running[ticket]
        return {"type": "ticket.status_changed", "ticket_id": ticket, "status": "solved"}


class Sender:
    def __init__(self, folder):
        self.file = (pathlib.Path(folder) / "sent.jsonl").open("w")
        self.failed = []
        # Never gives up, never reorders, seldom doubles: whatever is missing afterwards, the load is not to blame.
        self.producer = Producer({
            "bootstrap.servers": bootstrap(folder),
            "partitioner": "murmur2_random",
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "message.timeout.ms": 0,
            "linger.ms": 5,
            # Brokers come and go here: no news.
            "log_level": 2,
        })

    def send(self, topic, key, value, name):
        def report(error, message):
            if error:
                self.failed.append(str(error))
            else:
                self.file.write(json.dumps([topic, message.partition(), message.offset(), name]) + "\n")

        while len(self.producer) > WAITING_MAX:
            self.producer.poll(0.1)
        self.producer.produce(topic, value, key, headers=[("soak", name.encode())], on_delivery=report)
        self.producer.poll(0)

    def finish(self):
        left = self.producer.flush(120)
        self.file.close()
        if left or self.failed:
            sys.exit(f"load: {left} records were not acknowledged, {len(self.failed)} failed: {self.failed[:3]}")


def main():
    folder, seconds, seed, rate = sys.argv[1], *map(int, sys.argv[2:])
    load, sender = Load(seed), Sender(folder)
    chance = random.Random(seed + 1)
    times, begin, sent = collections.Counter(), time.monotonic(), 0
    while (passed := time.monotonic() - begin) < seconds:
        while sent < passed * rate:
            kind, account, name, fields = load.next()
            times[account] = max(times[account] + 1, time.time_ns() // 1_000_000)
            if name != "bad":
                fields |= {"event_id": load.fresh("e"), "event_time": times[account], "account_id": account}
                fields = json.dumps(fields).encode()
            again = name == "good" and chance.random() < TWICE
            for _ in range(1 + again):
                sender.send(SOURCES[kind], account, fields, name)
                sent += 1
        sender.producer.poll(0.02)
    sender.finish()


if __name__ == "__main__":
    main()
