"""What a step takes: time, processor, memory, and what it leaves stored."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import command
from command import last_lines

MEASURED = Path(__file__).parent / "measured.py"


@dataclass
class Cost:
    """What the commands of a step took together. `error` is empty if all ended well."""

    wall_secs: float = 0.0
    cpu_secs: float = 0.0
    # The most memory that one process had resident; processes that run at once are not added up.
    peak_rss_bytes: int = 0
    # How long writing back took that the commands left to the system.
    sync_secs: float = 0.0
    error: str = ""


def run(commands, env, scratch, written, secs_max):
    """Runs commands one after the other, up to the first that fails; `written` is the folder they write to."""
    cost = Cost()
    for one in commands:
        measured = _run_one(one, env, scratch, secs_max)
        cost.wall_secs += measured["wall_secs"]
        cost.cpu_secs += measured["cpu_secs"]
        cost.peak_rss_bytes = max(cost.peak_rss_bytes, measured["peak_rss_bytes"])
        if measured["status"] != 0:
            said = last_lines((scratch / "said").read_text(errors="replace"))
            cost.error = f"{' '.join(one.argv[1:3])} ended with {measured['status']}: {said}"
            break
    start = time.monotonic()
    sync(written)
    cost.sync_secs = time.monotonic() - start
    return cost


def sync(folder):
    """Has the system write back all of the file system of a folder, so that nobody pays for another's bytes."""
    command.run(["sync", "--file-system", folder])


def _run_one(one, env, scratch, secs_max):
    argv = [sys.executable, "-I", "-S", str(MEASURED), str(secs_max), str(scratch / "said"), *one.argv]
    meter = subprocess.Popen(argv, env=env, cwd=one.into, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        told, _ = meter.communicate()
    except BaseException:
        # Stopped while measuring: the program must not go on without us.
        meter.terminate()
        meter.wait()
        raise
    if meter.returncode != 0:
        raise RuntimeError(f"measuring {one.argv[0]} ended with {meter.returncode}")
    return json.loads(told)


def tree_bytes(folder):
    """The bytes of all files below a folder, as (apparent, allocated, files); names of one file count once."""
    apparent, allocated, seen = 0, 0, set()
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                facts = entry.stat(follow_symlinks=False)
                if facts.st_ino not in seen:
                    seen.add(facts.st_ino)
                    apparent += facts.st_size
                    allocated += facts.st_blocks * 512
    return apparent, allocated, len(seen)
