"""Commands that are run for what they do, not measured."""

import os
import shutil
import subprocess


class Failed(Exception):
    """A command that could not be run or did not end well; the message says which and why."""


def run(argv, env=None, cwd=None):
    """Runs a command to its end and gives what it printed; `env` is added to the environment."""
    argv = [str(word) for word in argv]
    if shutil.which(argv[0]) is None:
        raise Failed(f"{argv[0]} is not installed")
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv[:3])} ended with {done.returncode}: {last_lines(done.stderr)}")
    return done.stdout


def last_lines(text, count=3):
    """The last lines of what a command said, as one line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "it said nothing"
