"""Runs every tool through every step on every corpus, tools in turn, and collects what each took."""

import dataclasses
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure
import restored
from command import Failed
from tools import Place

# In their order. `init` and `first` always run, since all else stands on them.
STEPS = ["init", "first", "unchanged", "changed", "restore", "verify", "forget"]

# ext4 passes over files deleted this recently when it makes new ones, which slows down tools that make many.
RECENT_SECS = 65
MANY_FILES = 10_000


@dataclass
class Row:
    """One step of one tool on one corpus in one run."""

    corpus: str
    # The step; for `changed` its label is the name of the change.
    step: str
    label: str
    tool: str
    run: int
    wall_secs: float
    cpu_secs: float
    peak_rss_bytes: int
    sync_secs: float
    # The repository after the step, and its files' blocks.
    stored_bytes: int
    allocated_bytes: int
    error: str


class Comparison:
    """Tools, corpora and steps, and the rows measured so far."""

    def __init__(self, options, tools, corpora, work, mounted, say):
        self.options = options
        self.tools = tools
        self.corpora = corpora
        self.work = work
        # Whether each restore goes into a file system of its own.
        self.mounted = mounted
        self.say = say
        self.rows = []
        self.corpus_facts = {}

    def run(self):
        turns = [(run, corpus) for run in range(1, self.options.runs + 1) for corpus in self.corpora]
        for number, (run, corpus) in enumerate(turns, 1):
            self._run_corpus(run, corpus)
            if corpus.file_count() >= MANY_FILES and number < len(turns) and not self.options.keep:
                self.say(f"waiting {RECENT_SECS} s, until the file system uses again what was deleted")
                measure.sync(self.work)
                time.sleep(RECENT_SECS)

    def _run_corpus(self, run, corpus):
        folder = Path(tempfile.mkdtemp(prefix=f"{corpus.name}-{run}-", dir=self.work))
        source = folder / "data"
        source.mkdir()
        # Another tool goes first in each run.
        turn = (run - 1) % len(self.tools)
        tools = self.tools[turn:] + self.tools[:turn]
        places = {tool.name: self._place(folder, tool, source) for tool in tools}
        try:
            self.say(f"run {run}/{self.options.runs}, {corpus.name}: making it")
            corpus.make(source)
            self._settle()
            size, _, count = measure.tree_bytes(source)
            self.corpus_facts.setdefault(corpus.name, (size, count))
            for step in STEPS:
                labels = corpus.changes if step == "changed" else [step]
                wanted = step in self.options.steps or step in ["init", "first"]
                for number, label in enumerate(labels if wanted else [], 1):
                    if step == "changed":
                        corpus.change(source, number)
                        self._settle()
                    self._run_step(run, corpus, step, label, places, tools)
        finally:
            corpus.close()
            if not self.options.keep:
                shutil.rmtree(folder)

    def _run_step(self, run, corpus, step, label, places, tools):
        for tool in list(tools):
            place = places[tool.name]
            started = time.monotonic()
            cost = self._cost(run, step, tool, place, corpus)
            if cost is None:
                continue
            stored, allocated, _ = measure.tree_bytes(place.repository) if place.repository.exists() else (0, 0, 0)
            if step in self.options.steps or cost.error:
                facts = dataclasses.asdict(cost)
                self.rows.append(Row(corpus.name, step, label, tool.name, run, stored_bytes=stored,
                                     allocated_bytes=allocated, **facts))
            self.say(f"  {label:12} {tool.name:9} {cost.wall_secs:8.2f} s  {stored / 1e6:10.1f} MB"
                     f"  ({time.monotonic() - started:.0f} s in all) {cost.error}".rstrip())
            if cost.error:
                # What follows would measure something else.
                tools.remove(tool)

    def _cost(self, run, step, tool, place, corpus):
        """What a step takes; none if the tool does not have it."""
        env = self._environment(tool, place)

        def measured(commands, written=place.root):
            return measure.run(commands, env, place.root, written, self.options.secs_max) if commands else None

        if step == "init":
            return measured(tool.init(place))
        if step in ["first", "unchanged", "changed"]:
            cost = measured(tool.backup(place))
            place.snapshot_count += 1
            return cost
        if step == "verify":
            return measured(tool.verify(place))
        if step == "forget":
            return measured(tool.forget(place))
        return self._restore(run, tool, place, corpus, measured)

    def _restore(self, run, tool, place, corpus, measured):
        size, _, count = measure.tree_bytes(place.source)
        try:
            with restored.fresh_target(place.root, size, count, self.mounted) as target:
                cost = measured(tool.restore(place, target), target)
                if run == 1 and not cost.error:
                    difference = restored.difference(place.source, target)
                    cost.error = difference and f"the restore differs: {difference}"
                return cost
        except Failed as error:
            return measure.Cost(error=str(error))

    def _place(self, folder, tool, source):
        root = folder / tool.name
        place = Place(root, source)
        place.home.mkdir(parents=True)
        return place

    @staticmethod
    def _environment(tool, place):
        # Nothing of the caller's: settings and caches of the tools would take part.
        plain = {name: os.environ[name] for name in ["PATH", "LANG"] if name in os.environ}
        return {**plain, "HOME": str(place.home), "TMPDIR": str(place.root), **tool.env(place)}

    def _settle(self):
        """Lets files grow old enough that no tool takes them for being written to."""
        measure.sync(self.work)
        time.sleep(self.options.settle_secs)


def disk_bytes_needed(corpora, tool_count):
    """A bound on what one corpus, its repositories and a restore take at once."""

    def needed(corpus):
        # A block for the end of each file, and what is added.
        plain = 1.2 * (corpus.plain_bytes() + corpus.file_count() * 4096)
        repository = plain * (1 + 0.3 * len(corpus.changes))
        return int(2 * plain + tool_count * repository)

    return max(map(needed, corpora)) + (512 << 20)
