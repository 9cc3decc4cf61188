"""A picture of memory over time, as SVG: one panel above the other on a common time axis. Follows the reader's light or dark scheme."""

from dataclasses import dataclass, field
from typing import List, Tuple
from xml.sax.saxutils import escape

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP, BOTTOM = 920, 150, 36, 70, 20, 76, 46

STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif; --ink: #1f2328; --faint: #d0d7de; --muted: #57606a;
      --have: #0969da; --use: #bf5600; --limit: #cf222e; --committed: #1a7f37 }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; --ink: #e6edf3; --faint: #30363d; --muted: #9198a1;
      --have: #58a6ff; --use: #f0883e; --limit: #ff7b72; --committed: #3fb950 } }
text { fill: var(--ink) } .muted { fill: var(--muted) } .title { font-size: 17px; font-weight: 600 } .panel { font-weight: 600 }
.grid { stroke: var(--faint) } .axis { stroke: var(--muted) } .event { stroke: var(--muted); stroke-dasharray: 4 4 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round } .area { stroke: none; opacity: .22 }
"""


@dataclass
class Series:
    label: str
    color: str                                  # a name of STYLE: have, use, limit, committed
    points: List[Tuple[float, float]]           # (seconds, MiB)
    area: bool = False


@dataclass
class Panel:
    title: str
    series: List[Series]
    top: float                                  # MiB at its upper edge


@dataclass
class Chart:
    title: str
    subtitle: str
    panels: List[Panel]
    events: List[Tuple[float, str]] = field(default_factory=list)

    def svg(self) -> str:
        self.end = max(x for panel in self.panels for series in panel.series for x, _ in series.points)
        height = TOP + len(self.panels) * (PANEL + GAP) + BOTTOM
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
                 f"<title>{escape(self.title)}</title><desc>{escape(self.subtitle)}</desc><style>{STYLE}</style>",
                 f'<text class="title" x="{LEFT}" y="26">{escape(self.title)}</text>',
                 f'<text class="muted" x="{LEFT}" y="46">{escape(self.subtitle)}</text>']
        for i, panel in enumerate(self.panels):
            parts += self.draw_panel(panel, TOP + i * (PANEL + GAP) + GAP)
        parts += self.draw_time(TOP + len(self.panels) * (PANEL + GAP))
        return "\n".join(parts + ["</svg>", ""])

    def x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.end

    def draw_panel(self, panel: Panel, top: float) -> List[str]:
        def y(value: float) -> float:
            return top + PANEL * (1 - min(value, panel.top) / panel.top)

        parts = [f'<text class="panel" x="{LEFT}" y="{top - 8}">{escape(panel.title)}</text>']
        step = next(step for step in (64, 128, 256, 512, 1024, 2048, 4096, 1 << 40) if panel.top / step <= 4.5)
        value = 0
        while value <= panel.top:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                         f'<text class="muted" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value}'
                         f'{" MiB" if value == 0 else ""}</text>')
            value += step
        legend = WIDTH - RIGHT
        for series in reversed(panel.series):
            legend -= 8 * len(series.label) + 34
            parts.append(f'<line class="line" style="stroke: var(--{series.color})" x1="{legend}" x2="{legend + 18}" y1="{top - 12}" '
                         f'y2="{top - 12}"/><text x="{legend + 24}" y="{top - 8}">{escape(series.label)}</text>')
        for series in panel.series:
            path = " ".join(f"{self.x(s):.1f},{y(v):.1f}" for s, v in series.points)
            if series.area:
                parts.append(f'<polygon class="area" style="fill: var(--{series.color})" points="{self.x(series.points[0][0]):.1f},{y(0):.1f} '
                             f'{path} {self.x(series.points[-1][0]):.1f},{y(0):.1f}"/>')
            parts.append(f'<polyline class="line" style="stroke: var(--{series.color})" points="{path}"/>')
        return parts

    def draw_time(self, bottom: float) -> List[str]:
        parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
        step = next(step for step in (5, 10, 20, 30, 60, 120, 300, 1 << 30) if self.end / step <= 12)
        for second in range(0, int(self.end) + 1, step):
            parts.append(f'<text class="muted" x="{self.x(second):.1f}" y="{bottom + 18}" text-anchor="middle">{second} s</text>')
        for second, text in self.events:
            parts.append(f'<line class="event" x1="{self.x(second):.1f}" x2="{self.x(second):.1f}" y1="{TOP - 8}" y2="{bottom}"/>'
                         f'<text x="{self.x(second) + 4:.1f}" y="{TOP + 2}">{escape(text)}</text>')
        return parts
