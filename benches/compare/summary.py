"""Coffer against the best of the others, in one table: steps down, corpora across."""

import results

STORED = "stored"


def table(report):
    """Rows of texts, the first the heading. A cell is the best peer's figure over Coffer's, above 1 if Coffer took
    less, and that peer's name; a dash where there is nothing to compare."""
    corpora = [corpus["name"] for corpus in report["corpora"]]
    steps = list(dict.fromkeys(one["step"] for one in report["medians"]))
    rows = [["time", *corpora]]
    rows += [[step, *[_cell(_times(report, corpus, step)) for corpus in corpora]] for step in steps]
    added = [_cell(_added(report, corpus)) for corpus in corpora]
    rows += [["bytes added by changes", *added]] if "changed" in steps else []
    rows.append(["bytes stored by all backups", *[_cell(_stored(report, corpus)) for corpus in corpora]])
    return rows


def _times(report, corpus, step):
    """The time of each tool for a step, over all changes if it has several. Tools that do only part of it, or
    failed in one, are not in it."""
    partial = {tool["name"] for tool in report["tools"] if step in tool["partial"]}
    here = [one for one in report["medians"] if one["corpus"] == corpus and one["step"] == step]
    labels = {one["label"] for one in here}
    times = {}
    for tool in {one["tool"] for one in here} - partial:
        own = [one for one in here if one["tool"] == tool and one["run_count"]]
        if {one["label"] for one in own} == labels:
            times[tool] = sum(one["wall_secs"] for one in own)
    return times


def _stored(report, corpus):
    """The repository of each tool after its last backup."""
    backups = [one for one in report["medians"]
               if one["corpus"] == corpus and one["step"] in ["first", "unchanged", "changed"]]
    last = backups[-1]["label"] if backups else None
    return {one["tool"]: one["stored_bytes"] for one in backups if one["label"] == last and one["run_count"]}


def _added(report, corpus):
    """What the changes added to the repository of each tool."""
    here = [one for one in report["medians"] if one["corpus"] == corpus and one["run_count"]]
    first = {one["tool"]: one["stored_bytes"] for one in here if one["step"] == "first"}
    changed = [one for one in here if one["step"] == "changed"]
    last = {one["tool"]: one["stored_bytes"] for one in changed if one["label"] == changed[-1]["label"]}
    return {tool: stored - first[tool] for tool, stored in last.items() if stored > first.get(tool, stored)}


def _cell(figures):
    peers = {tool: figure for tool, figure in figures.items() if tool != results.BASE}
    if results.BASE not in figures or not peers:
        return "–"
    best = min(peers, key=peers.get)
    return f"{peers[best] / figures[results.BASE]:.2f} ({best})"
