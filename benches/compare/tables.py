"""The results as Markdown."""

import summary
from machine import sentence

FIGURES = [
    ("wall_secs", "Time, s", 1, 2),
    ("cpu_secs", "Processor time, s", 1, 2),
    ("peak_rss_bytes", "Peak memory, MB", 1e6, 0),
    ("stored_bytes", "Repository after the step, MB", 1e6, 1),
]
SUMMARY = "The best other tool over Coffer: above 1, Coffer took less"
RATIO_FIGURE = "wall_secs"


def markdown(report):
    """One table per corpus and figure: steps down, tools across, each with its ratio to Coffer's time."""
    lines = ["# Comparison", "", *[f"- {line}" for line in facts(report)], ""]
    lines += [f"## {SUMMARY}", "", *_rows(summary.table(report)), ""]
    for corpus in report["corpora"]:
        lines += [f"## {corpus['name']}", "", f"{corpus['bytes'] / 1e6:.0f} MB in {corpus['files']} files: "
                  f"{corpus['about']}.", ""]
        for figure, title, unit, digits in FIGURES:
            lines += [*_table(report, corpus["name"], figure, title, unit, digits), ""]
    return "\n".join(lines)


def facts(report):
    """What a reader must know to judge the figures, one sentence each."""
    options = report["options"]
    said = [
        f"Begun {report['started']}; scale {options['scale']}, seed {options['seed']}; medians of "
        f"{options['runs']} run{'s' if options['runs'] > 1 else ''}, tools in turn.",
        f"Machine: {sentence(report['machine'])}.",
    ]
    for tool in report["tools"]:
        partial = "".join(f"; {step}: {what}" for step, what in tool["partial"].items())
        said.append(f"{tool['name']}: {tool['version']}; {tool['settings']}{partial}.")
    said += [f"{one['name']} left out: {one['why']}." for one in report["missing"]]
    said += [f"{note}." for note in report["notes"]]
    said += [f"Failed: {row['corpus']}, {row['label']}, {row['tool']}: {row['error']}" for row in report["rows"]
             if row["error"]]
    if report["stopped"]:
        said.append("The comparison was stopped before its end: some rows are of fewer runs, or missing.")
    return said + [
        "Sources are in the page cache. Time ends when the command ends: what it leaves to the system to write is in "
        "`sync_secs` of the JSON file.",
        "Peak memory is that of the largest process; the least that can be told is 10 MB.",
        "A number in brackets is the tool's time over Coffer's: above 1, Coffer is faster. A dash: the tool has no "
        "such step, or failed.",
    ]


def labels_of(report, corpus):
    """The labels of a corpus's steps in their order."""
    return list(dict.fromkeys(one["label"] for one in report["medians"] if one["corpus"] == corpus))


def cells_of(report, corpus):
    """The medians of a corpus by label and tool."""
    return {(one["label"], one["tool"]): one for one in report["medians"] if one["corpus"] == corpus}


def _table(report, corpus, figure, title, unit, digits):
    names, cells = [tool["name"] for tool in report["tools"]], cells_of(report, corpus)
    rows = [[title, *names]]
    for label in labels_of(report, corpus):
        rows.append([label, *[_cell(cells.get((label, name)), name, figure, unit, digits) for name in names]])
    return _rows(rows)


def _rows(rows):
    ruled = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return [f"| {' | '.join(row)} |" for row in ruled]


def _cell(median, name, figure, unit, digits):
    if median is None or median[figure] is None:
        return "–"
    value = f"{median[figure] / unit:.{digits}f}"
    ratio = median["ratios"].get(figure)
    if figure != RATIO_FIGURE or name == "coffer" or ratio is None:
        return value
    return f"{value} ({ratio:.1f})"
