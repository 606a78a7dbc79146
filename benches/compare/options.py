"""The command line."""

import argparse
import os
from pathlib import Path

from comparison import STEPS
from corpora import SCALES
from rounds import NAMES as ROUNDS
from tools import TOOLS, UNSUPPORTED

CORPORA = ["source", "media", "databases", "tiny", "tiny-many", "image"]

ABOUT = """\
Compares Coffer with other encrypting, deduplicating backup programs on this machine: time, processor, memory and
bytes stored of each step. Peers are installed into a cache folder, not into the system; one that cannot be had is
noted and left out. Writes compare.json, compare.md and compare.html.
"""

EPILOG = f"""\
steps, in their order: {', '.join(STEPS)}
  init and first always run, since the others stand on them; restore is of the newest snapshot, into a fresh
  ext4 when run as root; forget drops all but the newest snapshot and prunes
scales: smallest is for trying this program out; small tells whether all works, and takes a minute with Coffer and
  one peer, three with all (most of it for passwords); full takes about an hour with three runs

examples:
  cargo build --release -p coffer && python3 benches/compare --scale small --runs 1
  python3 benches/compare --tools coffer,restic --corpora databases,image --scale medium
  python3 benches/compare --scale full --source-tree ~/linux --report /tmp/report
"""


def parse(argv):
    """The options, checked; a mistake ends the program with status 2."""
    parser = argparse.ArgumentParser(
        prog="python3 benches/compare", description=ABOUT, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = [*TOOLS, *UNSUPPORTED]
    usual = [name for name in known if name != "coffer-full"]
    parser.add_argument("--tools", type=_names("tool", known), default=usual, metavar="LIST",
                        help=f"of {', '.join(known)} (default: all but coffer-full)")
    parser.add_argument("--corpora", type=_names("corpus", [*CORPORA, *ROUNDS]), default=CORPORA,
                        metavar="LIST", help=f"of {', '.join(CORPORA)} (default: all of these), and one database over many "
                        f"rounds: {', '.join(ROUNDS)}")
    parser.add_argument("--steps", type=_names("step", STEPS), default=STEPS, metavar="LIST",
                        help="steps to report (default: all)")
    parser.add_argument("--scale", choices=list(SCALES), default="small", help="how much data (default: small)")
    parser.add_argument("--runs", type=_count, default=3, metavar="N", help="runs to take the median of (default: 3)")
    parser.add_argument("--seed", type=int, default=1, help="what the corpora are made from (default: 1)")
    parser.add_argument("--source-tree", type=Path, metavar="DIR",
                        help="tree of the corpus source (default: Debian's linux-source, downloaded)")
    parser.add_argument("--coffer", type=Path, default=_built(), metavar="FILE",
                        help="the program to measure (default: target/release/coffer)")
    parser.add_argument("--peers", type=Path, default=_cache() / "peers", metavar="DIR",
                        help="where peers are installed and kept; delete it to get newer ones (default: %(default)s)")
    parser.add_argument("--no-install", action="store_true", help="take only what is installed, use no network")
    parser.add_argument("--work", type=Path, default=_cache(), metavar="DIR",
                        help="where data, repositories and restores go, in a new folder (default: %(default)s)")
    parser.add_argument("--report", type=Path, default=Path("compare-report"), metavar="DIR",
                        help="where the results go (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave data and repositories in the work folder")
    parser.add_argument("--settle", dest="settle_secs", type=float, default=3.0, metavar="SECS",
                        help="wait after files change, so that no tool takes them for being written to (default: 3)")
    parser.add_argument("--timeout", dest="secs_max", type=_count, default=3600, metavar="SECS",
                        help="how long one command may take (default: 3600)")
    options = parser.parse_args(argv)
    if any(name.startswith("coffer") for name in options.tools) and not os.access(options.coffer, os.X_OK):
        parser.error(f"{options.coffer} is not there: build it with `cargo build --release -p coffer`, "
                     "or name another with --coffer")
    if "source" in options.corpora and options.source_tree and not options.source_tree.is_dir():
        parser.error(f"--source-tree {options.source_tree} is not a folder")
    return options


def _names(kind, known):
    def parse_list(text):
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"no {kind} {', '.join(unknown)!r}; there are {', '.join(known)}")
        return [name for name in known if name in names]

    return parse_list


def _count(text):
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coffer-compare"


def _built():
    return Path(__file__).resolve().parents[2] / "target/release/coffer"
