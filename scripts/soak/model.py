"""The alerts that rules/soak.yaml must have raised, worked out from the source topics."""

import collections
import json

from clients import SOURCES
from load import FAILURES, GROUP

REOPENED = 2
KINDS = {topic: kind for kind, topic in SOURCES.items()}


class Model:
    """Revisions by key: [(action, severity, the record that it is about)]; across accounts no record is named."""

    def __init__(self):
        self.revisions = collections.defaultdict(list)
        self.open = {}
        self.failures = collections.Counter()
        self.disarmed = set()
        self.reopened = collections.Counter()
        self.groups = collections.defaultdict(set)
        self.seen = set()
        self.repeats = 0

    def take(self, topic, place, value):
        event = json.loads(value)
        if event["event_id"] in self.seen:
            self.repeats += 1
            return
        self.seen.add(event["event_id"])
        getattr(self, KINDS[topic])(event, place)

    def say(self, key, action, severity, place):
        self.revisions[key].append((action, severity, place))
        if action == "resolved":
            del self.open[key]
        else:
            self.open[key] = severity

    def billing(self, event, place):
        key = f"declined/account/{event['account_id']}/{event['invoice_id']}"
        if event["type"] == "invoice.paid":
            if key in self.open:
                self.say(key, "resolved", self.open[key], place)
            return
        severity = "critical" if event["attempt_count"] >= 3 else "warning"
        if key not in self.open:
            self.say(key, "opened", severity, place)
        elif (self.open[key], severity) == ("warning", "critical"):
            self.say(key, "escalated", severity, place)

    def error_log(self, event, place):
        key = f"failing/account+integration/{event['account_id']}/{event['integration']}"
        if event["event"] == "health.restored":
            self.failures[key] = 0
            self.disarmed.discard(key)
        elif event["event"] == "connection.restored":
            if key in self.open:
                self.say(key, "resolved", "error", place)
                # What still holds when it is cleared opens nothing until it has been over.
                self.disarmed.add(key)
        else:
            self.failures[key] += 1
            if self.failures[key] >= FAILURES and key not in self.open and key not in self.disarmed:
                self.say(key, "opened", "error", place)

    def ticket(self, event, place):
        key = f"reopened/ticket/{event['account_id']}/{event['ticket_id']}"
        if event["type"] == "ticket.reopened":
            self.reopened[key] += 1
            if self.reopened[key] == REOPENED:
                self.say(key, "opened", "warning", place)
        elif event["type"] == "ticket.status_changed" and key in self.open:
            self.say(key, "resolved", "warning", place)

    def usage(self, event, place):
        if event["event"] != "sync.completed":
            return
        group = self.groups[event["integration"]]
        group.add(place)
        if len(group) == GROUP:
            self.say(f"group/integration/{event['integration']}", "opened", "warning", None)
