"""Verifies what a soak run has left in its topics, and prints a table of it. Ends with 1 if anything differs.

    verify.py DIR [--mutants]

It shares no code with the program. With --mutants it also changes what it has read in one place after another, as a program
with a fault would have, and ends with 1 if that goes unnoticed.
"""

import collections
import copy
import json
import pathlib
import re
import sys

from confluent_kafka import IsolationLevel

import journal
from clients import ALERTS, ALERTS_STATE, CHANGELOG, DEAD_LETTERS, DECISIONS, JOURNAL, SOURCES, admin, ends, read_all
from model import Model

SHOWN_MAX = 10
SETTLED = {"Empty", "CompleteCommit", "CompleteAbort", "Dead"}
MUTANTS = ["alert lost", "alert twice", "alert changed", "letter lost", "letter changed", "frame lost", "record lost",
           "record foreign", "decision twice", "state stale", "transaction open"]


def headers(message):
    return {name: value.decode() for name, value in message.headers() or []}


class Verdict:
    def __init__(self):
        self.mistakes = collections.defaultdict(list)

    def same(self, what, found, expected):
        """Both directions: what is missing and what is too much."""
        for item in (expected - found).elements():
            self.mistakes[f"{what}: missing"].append(item)
        for item in (found - expected).elements():
            self.mistakes[f"{what}: unexpected"].append(item)

    def holds(self, what, holds, item):
        if not holds:
            self.mistakes[what].append(item)

    def bad(self):
        return any(self.mistakes.values())


class Run:
    """What was read of a run."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.sources = [message for topic in SOURCES.values() for message in read_all(folder, topic)]
        self.frames = read_all(folder, JOURNAL)
        self.letters = read_all(folder, DEAD_LETTERS)
        self.alerts = read_all(folder, ALERTS)
        self.states = read_all(folder, ALERTS_STATE)
        self.decisions = [json.loads(message.value()) for message in read_all(folder, DECISIONS)]
        self.revisions = [json.loads(message.value()) for message in self.alerts]
        self.sent = [tuple(json.loads(line)) for line in (self.folder / "sent.jsonl").open()]
        self.faults = [json.loads(line) for line in (self.folder / "faults.jsonl").open()]
        self.transactions = [line.split() for line in (self.folder / "transactions.txt").read_text().splitlines()[1:]]
        self.letter_facts = [
            (place_of_letter(message), message.key(), message.value()) for message in self.letters
        ]
        self.state_facts = {message.key().decode(): message.value() for message in self.states}

    def mutated(self, mutant):
        run = copy.copy(self)
        for name in ("sources", "sent", "frames", "decisions", "letter_facts", "state_facts"):
            setattr(run, name, copy.copy(getattr(self, name)))
        for name in ("revisions", "transactions"):
            setattr(run, name, copy.deepcopy(getattr(self, name)))
        run.mutate(mutant)
        return run

    def mutate(self, mutant):
        # Somewhere in the middle, so that it is not the edge of a stream that shows it.
        middle = len(self.revisions) // 2
        if mutant == "alert lost":
            del self.revisions[middle]
        elif mutant == "alert twice":
            self.revisions.insert(middle, self.revisions[middle])
        elif mutant == "alert changed":
            self.revisions[middle]["severity"] = "info"
        elif mutant == "letter lost":
            lost = self.letter_facts[len(self.letter_facts) // 2][0]
            self.letter_facts = [fact for fact in self.letter_facts if fact[0] != lost]
        elif mutant == "letter changed":
            place, key, value = self.letter_facts[0]
            self.letter_facts[0] = (place, key, value + b" ")
        elif mutant == "frame lost":
            first = len(self.frames) // 2
            del self.frames[next(at for at in range(first, len(self.frames)) if has_events(self.frames[at]))]
        elif mutant == "record lost":
            del self.sources[len(self.sources) // 2]
        elif mutant == "record foreign":
            # Of a class that is never sent twice: no copy of it was acknowledged.
            self.sent.remove(next(own for own in self.sent if own[3] == "filtered"))
        elif mutant == "decision twice":
            self.decisions.append(next(own for own in self.decisions if own["decision"] == "opened"))
        elif mutant == "state stale":
            key = next(key for key, value in self.state_facts.items() if value is None)
            self.state_facts[key] = json.dumps(self.revisions[0]).encode()
        elif mutant == "transaction open":
            self.transactions[0][-1] = "Ongoing"
        else:
            raise ValueError(mutant)


def has_events(message):
    frame = journal.read(message.value())
    return frame is not None and bool(frame.events)


def place_of_letter(message):
    found = headers(message)
    return tuple(found[f"__streams.errors.{part}"] for part in ("topic", "partition", "offset"))


def place(message):
    return message.topic(), message.partition(), message.offset()


def check_sources(run, verdict, numbers):
    """The cluster has kept what it acknowledged: else the run shows nothing of the program.

    A record beyond that may be a copy of an acknowledged one: at a change of leader the producer of the load may write a
    batch again that it holds for lost (librdkafka issue 4953). To the program that is a record sent twice.
    """
    what = "records acknowledged and in the source topics"
    sent, found = collections.Counter(run.sent), {}
    for message in run.sources:
        contents = message.topic(), message.partition(), message.key(), message.value()
        found[(*place(message), headers(message)["soak"])] = contents
    for own, count in sent.items():
        verdict.holds(f"{what}: two at one place", count == 1, own)
    for own in sorted(sent.keys() - found.keys()):
        verdict.holds(f"{what}: missing", False, own)
    acknowledged = {contents for own, contents in found.items() if own in sent}
    for own, contents in found.items():
        if own not in sent:
            numbers["copies"] += 1
            verdict.holds(f"{what}: neither acknowledged nor a copy", contents in acknowledged, own)


def check_outcomes(run, verdict, numbers):
    """Every record of a source is journaled once, or a dead letter, or filtered. Returns where each was journaled."""
    classes = {place(message): headers(message)["soak"] for message in run.sources}
    tasks, journaled = {}, []
    carried = collections.defaultdict(set)
    for message in run.frames:
        frame = journal.read(message.value())
        if frame is None:
            continue
        numbers["frames"] += 1
        task = tasks.setdefault(message.partition(), journal.Task(set(SOURCES.values())))
        for topic, partition, offset, index in task.take(message.offset(), frame):
            journaled.append((topic, partition, offset))
            carried[message.partition(), message.offset()].add((topic, partition, offset))
            verdict.holds("more than one event of a record", index == 0, (topic, partition, offset))
    for number, task in tasks.items():
        numbers["repeated"] += task.repeated
        for mistake in task.mistakes:
            verdict.holds("the journal has a gap", False, (number, mistake))
    good = collections.Counter(own for own, name in classes.items() if name == "good")
    verdict.same("good records journaled", collections.Counter(journaled), good)

    # A dead letter may come twice after a crash, always the same.
    records = {place(message): (message.key(), message.value()) for message in run.sources}
    letters = set()
    for (topic, partition, offset), key, value in run.letter_facts:
        own = (topic, int(partition), int(offset))
        letters.add(own)
        verdict.holds("a dead letter is not what the record was", records.get(own) == (key, value), own)
    bad = collections.Counter(own for own, name in classes.items() if name == "bad")
    verdict.same("bad records among the dead letters", collections.Counter(letters), bad)
    numbers.update(collections.Counter(classes.values()))
    numbers["letters repeated"] = len(run.letter_facts) - len(letters)
    return carried


def check_alerts(run, verdict, numbers, carried):
    """Every expected revision once, in order; each in the transaction of the frame that carried what it is about."""
    model = Model()
    for message in run.sources:
        if headers(message)["soak"] == "good":
            model.take(message.topic(), place(message), message.value())
    numbers["repeats"] = model.repeats
    keys = collections.Counter(own["idempotency_key"] for own in run.revisions)
    for key, count in keys.items():
        verdict.holds("an alert revision more than once", count == 1, (key, count))
    found = collections.defaultdict(list)
    for own in run.revisions:
        found[own["dedup_key"]].append(own)
    for key in sorted(found.keys() | model.revisions.keys()):
        expected = model.revisions.get(key, [])
        said = [(own["action"], own["severity"]) for own in found.get(key, [])]
        wanted = [(action, severity) for action, severity, _ in expected]
        verdict.holds("revisions of an alert", said == wanted, f"{key}: found {said}, expected {wanted}")
        number = identity = None
        for own, (action, _, source) in zip(found.get(key, []), expected):
            number = 1 if action == "opened" else (number or 0) + 1
            identity = own["alert_id"] if action == "opened" else identity
            verdict.holds("numbers of revisions", own["idempotency_key"] == f"{identity}/{number}", own["idempotency_key"])
            origin = own["origin"]["journal_partition"], own["origin"]["journal_offset"]
            verdict.holds("origin of a revision", source is None or source in carried[origin], (key, source, origin))
        numbers["expected"] += len(expected)
    numbers["found"] = len(run.revisions)
    numbers["keys"] = len(found)
    numbers.update({("action", action): count for action, count in
                    collections.Counter(own["action"] for own in run.revisions).items()})
    groups = collections.Counter(len(group) for group in model.groups.values())
    numbers["groups"], numbers["groups complete"] = sum(groups.values()), groups[max(groups)]

    opened = collections.Counter(own["alert_id"] for own in run.revisions if own["action"] == "opened")
    decided = collections.Counter(own["alert_id"] for own in run.decisions if own["decision"] == "opened")
    verdict.same("decisions to open", decided, opened)
    newest = {own["dedup_key"]: own for own in run.revisions}
    for key, own in newest.items():
        state = run.state_facts.get(key)
        state = state and json.loads(state)["idempotency_key"]
        wanted = own["idempotency_key"] if own["status"] == "firing" else None
        verdict.holds("state of an alert", state == wanted, f"{key}: {state}, expected {wanted}")
    numbers["open"] = sum(own["status"] == "firing" for own in newest.values())


def check_transactions(run, verdict, numbers):
    states = collections.Counter()
    for identity, *_, state in run.transactions:
        states[state] += 1
        verdict.holds("a transaction is open", state in SETTLED, (identity, state))
    verdict.holds("there are transactions", states.total() > 0, "none listed")
    numbers["transactions"] = states.total()
    client = admin(run.folder)
    ours = [JOURNAL, ALERTS, ALERTS_STATE, DECISIONS, CHANGELOG]
    stable, all_ends = ends(client, ours, IsolationLevel.READ_COMMITTED), ends(client, ours)
    for own, end in all_ends.items():
        verdict.holds("records behind an open transaction", stable[own] == end, (own, stable[own], end))


def check_workers(run, verdict, numbers):
    for own in run.faults:
        if "fault" in own:
            numbers["fault", own["fault"]] += 1
            verdict.holds("a fault could not be done or healed", "error" not in own, own)
        elif "ended_by_itself" in own:
            numbers["ended"] += 1
        elif "last_stop" in own:
            verdict.holds("a worker did not end in order", own["code"] == 0, own)
        elif "asked_to_end" in own:
            numbers["ended badly"] += 1
    for log in sorted(run.folder.glob("worker-*.log")):
        text = log.read_text(errors="replace")
        numbers["begun anew"] += len(re.findall("begins anew", text))
        verdict.holds("a worker panicked", "panicked at" not in text, log.name)


def table(run, verdict, numbers, setting):
    def row(name, value):
        print(f"| {name} | {value} |")

    row("Run", "")
    row("---", "---")
    row("seed, seconds of faults, records a second", f"{setting['seed']}, {setting['seconds']}, {setting['rate']}")
    row("faults", ", ".join(f"{count} {name[1].replace('_', ' ')}" for name, count in sorted(
        (own for own in numbers.items() if own[0][0] == "fault"), key=str)) or "none")
    row("records", f"{numbers['good']:,} good ({numbers['repeats']:,} of them sent twice), {numbers['bad']:,} bad, "
                   f"{numbers['filtered']:,} filtered; {numbers['copies']:,} are copies made by the load's producer")
    row("journal", f"{numbers['frames']:,} frames, {numbers['repeated']:,} events repeated by intake and dropped")
    row("dead letters", f"{numbers['bad']:,} records, {numbers['letters repeated']:,} letters repeated")
    actions = ", ".join(f"{count:,} {name[1]}" for name, count in sorted(
        (own for own in numbers.items() if own[0][0] == "action"), key=str))
    row("alert revisions", f"{numbers['found']:,} found, {numbers['expected']:,} expected ({actions}); "
                           f"{numbers['open']:,} alerts open at the end")
    row("groups across accounts", f"{numbers['groups']:,}, of them {numbers['groups complete']:,} complete")
    row("transactional ids", f"{numbers['transactions']:,}, {len(verdict.mistakes['a transaction is open'])} of them with an "
                             "open transaction")
    row("workers", f"{numbers['begun anew']:,} times a thread began anew, {numbers['ended']:,} processes ended by themselves, "
                   f"{numbers['ended badly']:,} did not end with 0 when asked to between faults")
    row("seconds from the last fault healed to no lag", setting["drained"])
    row("outcome", "DIFFERS" if verdict.bad() else "as expected")


def judge(run):
    verdict, numbers = Verdict(), collections.Counter()
    check_sources(run, verdict, numbers)
    carried = check_outcomes(run, verdict, numbers)
    check_alerts(run, verdict, numbers, carried)
    check_transactions(run, verdict, numbers)
    check_workers(run, verdict, numbers)
    return verdict, numbers


def show(verdict):
    for what, items in verdict.mistakes.items():
        for item in items[:SHOWN_MAX]:
            print(f"{what}: {item}", file=sys.stderr)
        if len(items) > SHOWN_MAX:
            print(f"{what}: {len(items) - SHOWN_MAX} more", file=sys.stderr)


def main():
    run = Run(sys.argv[1])
    verdict, numbers = judge(run)
    table(run, verdict, numbers, json.loads((run.folder / "setting.json").read_text()))
    show(verdict)
    good = not verdict.bad()
    if sys.argv[2:] == ["--mutants"]:
        unnoticed = [mutant for mutant in MUTANTS if not judge(run.mutated(mutant))[0].bad()]
        print(f"| mutants of what was read that the verifier notices | {len(MUTANTS) - len(unnoticed)} of {len(MUTANTS)} |")
        if unnoticed:
            print(f"not noticed: {', '.join(unnoticed)}", file=sys.stderr)
        good = good and not unnoticed
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
