"""Runs the workers of the soak test and breaks them and the brokers, one fault after another, for a number of seconds.

    faults.py DIR SECONDS SEED BINARY

Every kind of fault has its turn, if need be beyond those seconds. What was done is written to DIR/faults.jsonl, with the
seconds since the beginning. Then everything is healed, DIR/healed
is made, and the workers go on until DIR/stop is there. A worker that ends by itself is started again, as a supervisor
would, and written down.
"""

import itertools
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from clients import admin, wait_for

WORKERS, BROKERS = (1, 2, 3), (1, 2, 3)
# The faults, by the names of what makes them.
KINDS = (
    "worker_killed", "worker_paused", "worker_restarted",
    "broker_stopped", "broker_killed", "both_killed", "worker_lost",
)
# Longer than `kafka.session_timeout` of the workers, which is 6 s.
SESSION_S = 7
# How much longer a pause is at most, how long what was killed stays away (sometimes longer than a session), and the time
# between faults. In a run of less than two minutes all that is shorter, so that every kind of fault has its turn.
PAUSE_S, AWAY_S, BETWEEN_S = (0, 5), (0.2, 9), (0.5, 3)
SHORT_RUN_S, SHORT_RUN_PACE = 120, 0.3
KAFKA = pathlib.Path(__file__).parents[1] / "kafka.sh"


class Worker:
    def __init__(self, folder, binary, number):
        self.folder, self.binary, self.number = folder, binary, number
        self.child = None
        self.wanted = False

    def start(self):
        # Of a group of its own: a Ctrl-C at the terminal is not meant for it.
        log = (self.folder / f"worker-{self.number}.log").open("a")
        config = self.folder / f"worker-{self.number}.yaml"
        self.child = subprocess.Popen(
            [self.binary, "run", "--config", config],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
        self.wanted = True

    def kill(self):
        self.wanted = False
        self.child.kill()
        self.child.wait()

    def stop(self):
        """Asks it to end; its exit code."""
        self.wanted = False
        self.child.terminate()
        try:
            return self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed, it did not end within 60 s"

    def lose_state(self):
        shutil.rmtree(self.folder / f"state-{self.number}", ignore_errors=True)


class Faults:
    def __init__(self, folder, seconds, seed, binary):
        self.folder = folder
        self.seconds = seconds
        self.pace = SHORT_RUN_PACE if seconds < SHORT_RUN_S else 1
        self.random = random.Random(seed)
        self.begin = time.monotonic()
        self.log = (folder / "faults.jsonl").open("w")
        self.workers = {number: Worker(folder, binary, number) for number in WORKERS}

    def note(self, **what):
        self.log.write(json.dumps({"at": round(time.monotonic() - self.begin, 1), **what}) + "\n")
        self.log.flush()

    def wait(self, seconds):
        """Waits, and keeps alive what is meant to be alive."""
        until = time.monotonic() + seconds
        while True:
            for worker in self.workers.values():
                if worker.wanted and (code := worker.child.poll()) is not None:
                    self.note(ended_by_itself=worker.number, code=code)
                    worker.start()
            if time.monotonic() >= until:
                return
            time.sleep(min(0.1, max(until - time.monotonic(), 0)))

    def some_of(self, between_s):
        return self.random.uniform(*between_s) * self.pace

    def away(self):
        self.wait(self.some_of(AWAY_S))

    def worker_killed(self, number):
        self.workers[number].kill()
        self.away()
        self.workers[number].start()

    def worker_lost(self, number):
        self.workers[number].kill()
        self.workers[number].lose_state()
        self.away()
        self.workers[number].start()

    def worker_restarted(self, number):
        code = self.workers[number].stop()
        if code != 0:
            self.note(asked_to_end=number, code=code)
        self.away()
        self.workers[number].start()

    def worker_paused(self, number):
        child = self.workers[number].child
        child.send_signal(signal.SIGSTOP)
        try:
            self.wait(SESSION_S + self.some_of(PAUSE_S))
        finally:
            child.send_signal(signal.SIGCONT)

    def node(self, command, number):
        begin = time.monotonic()
        subprocess.run([KAFKA, "node", command, self.folder / "kafka", str(number)], check=True, timeout=120)
        self.note(broker=number, command=command, took=round(time.monotonic() - begin, 1))

    def broker_down(self, command, number):
        try:
            self.node(command, number)
            self.away()
            self.given_up(number)
        finally:
            self.node("start", number)
        self.in_sync()

    def broker_stopped(self, number):
        self.broker_down("stop", number)

    def broker_killed(self, number):
        self.broker_down("kill", number)

    def both_killed(self, number):
        """A worker whose successor finds the coordinators away."""
        try:
            self.node("kill", number)
            self.workers[number].kill()
            self.away()
            self.workers[number].start()
            self.away()
            self.given_up(number)
        finally:
            self.node("start", number)
        self.in_sync()

    def given_up(self, number):
        """Until the cluster leads nothing from this broker any more.

        One that is killed and back before that goes on as leader with what it alone has written. A coordinator then sends
        the markers of a commit that no other copy of its log knows, and its successor aborts the rest of the transaction:
        half of it is committed, whatever a client does.
        """
        client = admin(self.folder)

        def led():
            self.wait(0)
            topics = client.list_topics(timeout=10).topics
            return [
                f"{name}/{partition.id}"
                for name, topic in topics.items()
                for partition in topic.partitions.values()
                if partition.leader in (number, -1)
            ]

        wait_for(f"leaders other than broker {number}", led)

    def in_sync(self):
        """Until all copies are there again: with two brokers away at a time nothing could be written, or be lost."""
        client = admin(self.folder)

        def missing():
            self.wait(0)
            topics = client.list_topics(timeout=10).topics
            return [
                f"{name}/{number}"
                for name, topic in topics.items()
                for number, partition in topic.partitions.items()
                if len(partition.isrs) < len(BROKERS)
            ]

        wait_for("copies in sync", missing)
        self.note(in_sync=True)

    def deck(self):
        """Every fault on every target once, in any order, but all kinds before any comes again."""
        kinds = [getattr(self, kind) for kind in KINDS]
        columns = [self.random.sample(WORKERS, len(WORKERS)) for _ in kinds]
        for row in range(len(WORKERS)):
            cards = [(kind, column[row]) for kind, column in zip(kinds, columns)]
            yield from self.random.sample(cards, len(cards))

    def strike(self):
        # The members of the groups find each other first.
        self.wait(5)
        decks = itertools.chain.from_iterable(iter(self.deck, None))
        for count, (kind, number) in enumerate(decks):
            if count >= len(KINDS) and time.monotonic() - self.begin >= self.seconds:
                return
            begin = time.monotonic()
            fault = {"fault": kind.__name__, "target": number}
            try:
                kind(number)
            except Exception as error:
                fault["error"] = repr(error)
            self.note(**fault, took=round(time.monotonic() - begin, 1))
            self.wait(self.some_of(BETWEEN_S))

    def heal(self):
        """Whatever a fault that failed has left behind."""
        for number in BROKERS:
            pid = self.folder / "kafka" / str(number) / "broker.pid"
            if not pid.exists() or not pathlib.Path(f"/proc/{pid.read_text().strip()}").exists():
                self.note(healed_broker=number)
                self.node("start", number)
        for worker in self.workers.values():
            if worker.child.poll() is not None:
                self.note(healed_worker=worker.number)
                worker.start()
        self.in_sync()

    def end(self):
        for worker in self.workers.values():
            if worker.wanted:
                self.note(last_stop=worker.number, code=worker.stop())

    def kill_all(self):
        for worker in self.workers.values():
            if worker.child and worker.child.poll() is None:
                worker.child.send_signal(signal.SIGCONT)
                worker.kill()


def main():
    folder, seconds, seed, binary = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("faults: told to end"))
    faults = Faults(folder, seconds, seed, binary)
    try:
        for worker in faults.workers.values():
            worker.start()
        faults.strike()
        faults.heal()
        (folder / "healed").touch()
        while not (folder / "stop").exists():
            faults.wait(0.2)
        faults.end()
    finally:
        faults.kill_all()


if __name__ == "__main__":
    main()
