"""The results as one HTML file with bar charts, which needs nothing from elsewhere."""

from html import escape

import summary
import tables

COLOURS = {"coffer": "#0b6e4f", "restic": "#c8553d", "rustic": "#8d6a9f", "borg": "#588bae", "bupstash": "#d9a441"}
OTHER_COLOUR = "#888888"
WIDTH, LABEL_WIDTH, VALUE_WIDTH, BAR_HEIGHT, GAP = 640, 190, 90, 15, 8

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1340px; margin: 2em auto; padding: 0 1em; color: #222; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2em .8em .2em 0; font-weight: normal; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #222; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } svg text { fill: #ddd; } }
"""


def html(report):
    """The whole page."""
    said = "".join(f"<li>{escape(fact)}</li>" for fact in tables.facts(report))
    parts = [_section(report, corpus) for corpus in report["corpora"]]
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
            f"<style>{STYLE}</style></head><body><h1>Comparison</h1><p>Shorter is better.</p>"
            f"{_summary(report)}{''.join(parts)}<h2>How</h2><ul>{said}</ul></body></html>\n")


def _summary(report):
    heading, *rows = summary.table(report)
    lines = ["".join(f"<th>{escape(text)}</th>" for text in heading)]
    for label, *cells in rows:
        lines.append(f"<th>{escape(label)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells))
    return f"<h2>{escape(tables.SUMMARY)}</h2><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _section(report, corpus):
    charts = [_chart(report, corpus["name"], *figure) for figure in tables.FIGURES]
    about = f"{corpus['bytes'] / 1e6:.0f} MB in {corpus['files']} files: {corpus['about']}."
    return f'<h2>{escape(corpus["name"])}</h2><p>{escape(about)}</p><div class="charts">{"".join(charts)}</div>'


def _chart(report, corpus, figure, title, unit, digits):
    """Bars in groups, one group per step; each group has a scale of its own, since steps differ a thousandfold."""
    names, cells = [tool["name"] for tool in report["tools"]], tables.cells_of(report, corpus)
    drawn, top = [], 0
    for label in tables.labels_of(report, corpus):
        values = [(name, cells[label, name][figure]) for name in names
                  if (label, name) in cells and cells[label, name][figure] is not None]
        largest = max((value for _, value in values), default=0)
        for place, (name, value) in enumerate(values):
            group = label if place == 0 else ""
            drawn.append(_bar(top, group, name, value / unit, value / largest if largest else 0, digits))
            top += BAR_HEIGHT
        top += GAP
    return (f"<figure><figcaption>{escape(title)}</figcaption>"
            f'<svg viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" role="img" '
            f'aria-label="{escape(title)}, {escape(corpus)}">{"".join(drawn)}</svg></figure>')


def _bar(top, group, name, value, share, digits):
    length = max(1.0, share * (WIDTH - LABEL_WIDTH - VALUE_WIDTH))
    base = top + BAR_HEIGHT - 4
    return (f'<text x="0" y="{base}" font-weight="600">{escape(group)}</text>'
            f'<text x="{LABEL_WIDTH - 8}" y="{base}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{top + 1}" width="{length:.1f}" height="{BAR_HEIGHT - 2}" '
            f'fill="{COLOURS.get(name, OTHER_COLOUR)}"/>'
            f'<text x="{LABEL_WIDTH + length + 5:.1f}" y="{base}">{value:.{digits}f}</text>')
