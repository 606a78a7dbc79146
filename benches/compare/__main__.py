"""Compares Coffer with its peers: `python3 benches/compare --help`."""

import dataclasses
import datetime
import functools
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# Nothing is left beside the sources.
sys.dont_write_bytecode = True

import charts  # noqa: E402
import comparison  # noqa: E402
import machine  # noqa: E402
import options as command_line  # noqa: E402
import restored  # noqa: E402
import results  # noqa: E402
import tables  # noqa: E402
from command import Failed  # noqa: E402
from corpora import SCALES  # noqa: E402
from databases import Databases  # noqa: E402
from image import Image  # noqa: E402
from peers import Peers  # noqa: E402
from rounds import NAMES as ROUNDS  # noqa: E402
from rounds import Rounds  # noqa: E402
from tools import TOOLS, UNSUPPORTED  # noqa: E402
from trees import Media, Source, Tiny  # noqa: E402


def main():
    options = command_line.parse(sys.argv[1:])
    for folder in [options.work, options.peers, options.report]:
        folder.mkdir(parents=True, exist_ok=True)
    # As Ctrl-C does: what was begun is cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    peers = Peers(options.peers.resolve(), not options.no_install, say)
    notes = []
    tools, missing = find_tools(options, peers)
    corpora = find_corpora(options, peers, notes)
    if not tools or not corpora:
        sys.exit("error: nothing to measure: " + "; ".join([f"{one['name']}: {one['why']}" for one in missing] + notes))
    refuse_small_disk(options, corpora, len(tools))
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.work.resolve()))
    try:
        why = restored.why_not_mounted(work)
        notes += [f"restores go into the work folder's own file system: {why}"] if why else []
        report = measure_all(options, tools, corpora, work, mounted=not why)
        report |= {"missing": missing, "notes": notes}
        # Before cleaning up, which can take minutes and be stopped too.
        write(options.report, report)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    failed = [row for row in report["rows"] if row["error"]]
    for row in failed:
        say(f"failed: {row['corpus']}, {row['label']}, {row['tool']}, run {row['run']}: {row['error']}")
    if report["stopped"]:
        return 130
    return 1 if failed else 0


def measure_all(options, tools, corpora, work, mounted):
    """Everything the report says but what was left out."""
    described = machine.describe(work)
    started = datetime.datetime.now(datetime.timezone.utc)
    run = comparison.Comparison(options, tools, corpora, work, mounted, say)
    try:
        run.run()
        stopped = False
    except (KeyboardInterrupt, SystemExit):
        # What was measured so far was measured well.
        stopped = True
    described["load_at_end"] = round(os.getloadavg()[0], 2)
    rows = [dataclasses.asdict(row) for row in run.rows]
    facts = run.corpus_facts
    return {
        "format": 1,
        "stopped": stopped,
        "started": started.isoformat(timespec="seconds"),
        "machine": described,
        "options": {"scale": options.scale, "runs": options.runs, "seed": options.seed, "steps": options.steps},
        "tools": [{"name": tool.name, "version": tool.version(), "settings": tool.settings, "partial": tool.partial}
                  for tool in tools],
        "corpora": [{"name": corpus.name, "about": corpus.about, "bytes": facts[corpus.name][0],
                     "files": facts[corpus.name][1]} for corpus in corpora if corpus.name in facts],
        "rows": rows,
        "medians": results.summarise(rows),
    }


def find_tools(options, peers):
    """The programs that could be had, and why the others could not."""
    tools, missing = [], []
    for name in options.tools:
        try:
            if name in UNSUPPORTED:
                raise Failed(UNSUPPORTED[name])
            program = options.coffer.resolve() if name.startswith("coffer") else peers.find(name)
            tool = TOOLS[name](program)
            say(f"{name}: {tool.version()}")
            tools.append(tool)
        except (Failed, OSError) as error:
            say(f"{name}: left out: {error}")
            missing.append({"name": name, "why": str(error)})
    return tools, missing


def find_corpora(options, peers, notes):
    scale, seed = SCALES[options.scale], options.seed
    made = {
        "media": lambda: Media(scale, seed),
        "databases": lambda: Databases(scale, seed),
        "tiny": lambda: Tiny(scale, seed, "tiny", scale.tiny_count),
        "tiny-many": lambda: Tiny(scale, seed, "tiny-many", scale.tiny_many_count),
        "image": lambda: Image(scale, seed),
        "source": lambda: Source(scale, seed, options.source_tree or peers.linux_source()),
    }
    made |= {name: functools.partial(Rounds, scale, seed, name) for name in ROUNDS}
    corpora = []
    for name in options.corpora:
        try:
            corpora.append(made[name]())
        except Failed as error:
            say(f"corpus {name}: left out: {error}")
            notes.append(f"corpus {name} left out: {error}")
    return corpora


def refuse_small_disk(options, corpora, tool_count):
    needed = comparison.disk_bytes_needed(corpora, tool_count)
    free = shutil.disk_usage(options.work).free
    if free < needed:
        sys.exit(f"error: {options.work} has {free / 1e9:.1f} GB free, and this comparison may need "
                 f"{needed / 1e9:.1f} GB: name another folder with --work, "
                 "or choose a smaller --scale or fewer --tools or --corpora")


def write(folder, report):
    (folder / "compare.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "compare.md").write_text(tables.markdown(report))
    (folder / "compare.html").write_text(charts.html(report))
    say(f"wrote {folder}/compare.json, compare.md and compare.html")


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
