"""Rows of all runs into one value per step and tool: medians, their spread, and ratios."""

import statistics

BASE = "coffer"
FIGURES = ["wall_secs", "cpu_secs", "peak_rss_bytes", "sync_secs", "stored_bytes", "allocated_bytes"]


def summarise(rows):
    """One dictionary per corpus, label and tool, in the order of the rows. `ratios` are this tool's figures over
    Coffer's: above 1, Coffer took less."""
    groups = {}
    for row in rows:
        groups.setdefault((row["corpus"], row["label"], row["tool"]), []).append(row)
    medians = {key: _median(key, group) for key, group in groups.items()}
    for (corpus, label, _), median in medians.items():
        base = medians.get((corpus, label, BASE))
        median["ratios"] = _ratios(median, base)
    return list(medians.values())


def _median(key, group):
    corpus, label, tool = key
    good = [row for row in group if not row["error"]]
    median = {
        "corpus": corpus,
        "step": group[0]["step"],
        "label": label,
        "tool": tool,
        "run_count": len(good),
        "errors": [row["error"] for row in group if row["error"]],
    }
    for figure in FIGURES:
        median[figure] = statistics.median(row[figure] for row in good) if good else None
    median["wall_secs_min"] = min((row["wall_secs"] for row in good), default=None)
    median["wall_secs_max"] = max((row["wall_secs"] for row in good), default=None)
    return median


def _ratios(median, base):
    if base is None or not base["run_count"] or not median["run_count"]:
        return {}
    return {figure: round(median[figure] / base[figure], 3) for figure in FIGURES if base[figure]}
