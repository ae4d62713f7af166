"""The log of the stream's tables: what makes a batch true, and what a restart holds itself to. Used by payments_stream.py beside it."""

import json
import threading
import time

from payments_store import FORMAT, Unfit, compacted_at, entry

# Spark 4.1 ends a query with this after it has gone through a batch of a killed run: the batch is done, only its figures are not there. Begin again.
RECOVERED = '"scala.collection.IterableOps.map(scala.Function1)" because the return value of "scala.Option.get()" is null'


class Stopped(Exception):
    """A batch that must not begin, since the stream is to end before it."""


class Query:
    """One streaming query and its log. `write(batch, number, entry)` writes the files of a batch and fills its entry."""

    def __init__(self, name, lake, checkpoint, late_after):
        self.name, self.lake, self.checkpoint, self._late_after = name, lake, checkpoint, late_after
        self.high_water, self._last, self._first = 0, None, 0
        self._stop, self._at_boundary, self._released = threading.Event(), threading.Event(), threading.Event()
        self.writer = self.handle = None  # Spark's: what starts the query, and the query

    def start(self):
        """Start it, or start it again after it has ended."""
        self.begin()
        self.handle = self.writer.start()

    def end(self):
        """Stop it before its next batch, once the one in hand is done."""
        self._stop.set()
        while self.handle.isActive and not self._at_boundary.is_set() and self.handle.status["isTriggerActive"]:
            time.sleep(0.05)
        waiting = threading.Thread(target=self.handle.stop)  # it waits for the batch, and the batch for what follows
        waiting.start()
        time.sleep(0.2)
        self._released.set()
        waiting.join(60)

    def begin(self):
        """Hold the log against the checkpoint. Raises Unfit when one is not the other's."""
        done, logged = self.checkpoint.newest(f"{self.name}/commits"), self.lake.newest(f"_log/{self.name}")
        before = json.loads(self.lake.read(compacted_at(self.name)) or "null")
        if before:
            logged = max(logged if logged is not None else -1, before["through"])
        next_logged, next_done = (-1 if n is None else n for n in (logged, done))
        # The log is written before Spark's own record of the batch, so it may be one ahead.
        if next_logged - next_done not in (0, 1):
            raise Unfit(
                f"its checkpoint {'has no batch' if done is None else f'has batches up to {done}'}, and the lake's log of {self.name} "
                f"{'is empty' if logged is None else f'goes to {logged}'}: they do not belong together. Declare the checkpoint that wrote this path, or a new path for both"
            )
        self._first = next_done + 1
        if logged is not None:
            newest = self.lake.read(entry(self.name, logged))
            self.high_water = (json.loads(newest) if newest else before)["high_water"]

    def _ends(self, number, topic):
        """Where a batch ends, by partition (exclusive): Spark's own record of it, which it made before the batch began."""
        if number < 0:
            text = self.checkpoint.read(f"{self.name}/sources/0/0")
            return json.loads(text[text.index("{") :])[topic] if text else {}
        return json.loads(self.checkpoint.read(f"{self.name}/offsets/{number}").splitlines()[-1])[topic]

    def remembered(self, number):
        """Kafka's time (ms) up to which a batch's records were left out, since Spark no longer remembers what came then: it is of the batch before."""
        return json.loads(self.checkpoint.read(f"{self.name}/offsets/{number - 1}").splitlines()[1])["batchWatermarkMs"] if number else 0

    def run(self, topic, write):
        """What Spark calls with each batch."""

        def batch(rows, number):
            if self._stop.is_set():
                self._at_boundary.set()
                self._released.wait()
                raise Stopped
            before = self._last[1] if self._last and self._last[0] == number - 1 else self._ends(number - 1, topic)
            ends = self._ends(number, topic)
            self._last = (number, ends)
            offsets = {p: [before.get(p, 0), end - 1] for p, end in ends.items() if end > before.get(p, 0)}
            known = self.lake.read(entry(self.name, number)) if number == self._first else None
            if known:
                self._again(number, json.loads(known), offsets)
                rows.write.format("noop").mode("append").save()  # the state of this batch has still to be made
                return
            done = {"format": FORMAT, "query": self.name, "batch": number, "offsets": offsets, "files": {}, "counts": {}, "late_after": self._late_after}
            write(rows, number, done)
            done |= {"high_water": self.high_water, "committed": int(time.time() * 1000)}
            if not self.lake.create(entry(self.name, number), json.dumps(done)):
                raise Unfit(f"another driver has written batch {number} of {self.name} meanwhile. Let one stream run: kubectl get sparkapplications")

        return batch

    def _again(self, number, known, offsets):
        if known["offsets"] != offsets:
            raise Unfit(
                f"batch {number} of {self.name} is in the lake's log with other offsets than the checkpoint has. Declare the checkpoint that wrote this path"
            )
        self.high_water = known["high_water"]


def follow(queries, alerts, stop):
    """Wait until the queries end, one fails or a look for alerts does, or a stop is asked for; then stop what runs at a batch boundary. Raises what failed."""
    failed = None
    while not (stop.exists() or failed):
        failed = alerts.turn()
        ended = {q: q.handle.exception() for q in queries if not q.handle.isActive}
        if any(e and RECOVERED not in str(e) for e in ended.values()) or (len(ended) == len(queries) and not any(ended.values())):
            break
        for query in (q for q, error in ended.items() if error):
            query.start()
        time.sleep(0.2)
    failed = next((e for q in queries if (e := q.handle.exception()) and RECOVERED not in str(e)), failed)
    for query in queries:
        query.end()
    if failed:
        raise failed


def agree(checkpoint, args, topic_id=None):
    """Write down in the checkpoint what it was made for, and hold later runs to it: also to Kafka's id of the topic, where both know it. Raises Unfit."""
    mine = {"format": FORMAT, "topic": args.topic, "path": args.path, "duplicates_within": args.duplicates_within}
    mine |= {"topic_id": topic_id} if topic_id else {}
    known = checkpoint.read("homelake.json")
    if known or not checkpoint.create("homelake.json", json.dumps(mine)):
        theirs = json.loads(known or checkpoint.read("homelake.json"))
        theirs.setdefault("topic_id", topic_id)  # what is from before it was written down
        if other := [f"{k} {theirs.get(k)!r} (now {v!r})" for k, v in mine.items() if theirs.get(k) != v]:
            raise Unfit(f"its checkpoint {args.checkpoint} was made for {', '.join(other)}. Declare that again, or a new checkpoint and a new path")
