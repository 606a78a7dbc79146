"""Runs one command as a process of a small parent, and prints what it took as one line of JSON.

A process of its own, since Linux counts the memory of the process that starts a program into the program's own
peak: this one has about 10 MB, whatever the rest of the comparison holds.

    python3 -I -S measured.py SECS_MAX OUTPUT_FILE COMMAND [ARGUMENT]...
"""

import json
import os
import signal
import sys
import time


def main():
    secs_max, output, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with open(output, "wb") as said, open(os.devnull, "r+b") as null:
        actions = [
            (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, null.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, said.fileno(), 2),
        ]
        start = time.monotonic()
        child = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setpgroup=0)
        # The group, so that helpers of the program end with it.
        for stop in [signal.SIGALRM, signal.SIGTERM, signal.SIGINT]:
            signal.signal(stop, lambda *_: os.killpg(child, signal.SIGKILL))
        signal.alarm(secs_max)
        _, status, usage = os.wait4(child, 0)
        wall_secs = time.monotonic() - start
        signal.alarm(0)
    measured = {
        "status": os.waitstatus_to_exitcode(status),
        "wall_secs": wall_secs,
        "cpu_secs": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }
    print(json.dumps(measured))


main()
