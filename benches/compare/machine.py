"""The machine that figures are of."""

import os
import platform
from pathlib import Path

import command
from command import Failed


def describe(work):
    """What about this machine decides the figures."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "file_system": _file_system(work),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def sentence(machine):
    """The description as text."""
    memory = machine["memory_bytes"] / (1 << 30)
    return (f"{machine['cpu']}, {machine['cores']} cores, {memory:.0f} GiB of memory, Linux {machine['kernel']}, "
            f"{machine['file_system']}; load {machine['load_at_start']} at the start, "
            f"{machine['load_at_end']} at the end (from the comparison itself at most about the count of cores)")


def _cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _file_system(folder):
    try:
        return command.run(["df", "--output=fstype", folder]).split()[-1]
    except Failed:
        return "unknown file system"
