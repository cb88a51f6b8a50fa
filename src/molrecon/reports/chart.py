"""Residual and bound against iterations, as a drawing in the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from molrecon.equilibrium.bound_text import bound_text
from molrecon.reports.content import Trace
from molrecon.reports.markup import Element, element, table

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40
_MOST_TICKS = 8
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def chart(trace: Trace, title: str) -> Element:
    """Return the drawing of a trace, with its figures as a table below."""
    count = len(trace.residuals)
    lines = {"residual": trace.residuals, "bound": trace.bounds}
    shown = [value for line in lines.values() for value in line if 0 < value < math.inf]
    low = math.floor(math.log10(min(shown, default=0.1)))
    high = max(low + 1, math.ceil(math.log10(max(shown, default=1.0))))

    def x(number: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (number - 1) / max(1, count - 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(value)) / (high - low)

    text = f"{title}: relative residual and bound of {count} iterations ({trace.place})"
    drawing = element(
        "svg",
        element("title", text),
        *_grid(low, high, count, x, y),
        *(_line(name, values, x, y) for name, values in lines.items()),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=text,
    )
    rows = [
        (str(number), f"{residual:.3g}", bound_text(bound) if math.isfinite(bound) else "–")
        for number, (residual, bound) in enumerate(
            zip(trace.residuals, trace.bounds, strict=True), start=1
        )
    ]
    columns = ("iteration", "residual ‖x − T(x)‖ / ‖x‖", "bound on ‖x − x*‖ / ‖x‖")
    return element(
        "figure",
        drawing,
        element(
            "figcaption",
            f"{title}, {trace.place}: ",
            element("span", "residual", class_="key residual"),
            " ‖x − T(x)‖ / ‖x‖ and ",
            element("span", "bound", class_="key bound"),
            " on the distance ‖x − x*‖ / ‖x‖ to the solution of the equation, before rounding is "
            "counted.",
        ),
        element("details", element("summary", "Figures"), table(columns, rows, caption=text)),
        class_="chart",
    )


def _grid(
    low: int, high: int, count: int, x: Callable[[int], float], y: Callable[[float], float]
) -> list[Element]:
    drawn = []
    for power in range(low, high + 1, max(1, math.ceil((high - low) / _MOST_TICKS))):
        place = f"{y(10.0**power):.1f}"
        ends = {"x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": place, "y2": place}
        drawn.append(element("line", class_="rule", **ends))
        drawn.append(
            element(
                "text",
                f"10{str(power).translate(_RAISED)}",
                x=str(LEFT - 6),
                y=place,
                class_="tick left",
            )
        )
    for number in range(1, count + 1, max(1, math.ceil(count / _MOST_TICKS))):
        place = f"{x(number):.1f}"
        drawn.append(element("text", str(number), x=place, y=str(HEIGHT - 24), class_="tick"))
    middle = f"{(LEFT + WIDTH - RIGHT) / 2:.1f}"
    return [*drawn, element("text", "iteration", x=middle, y=str(HEIGHT - 6), class_="tick")]


def _line(
    name: str, values: Sequence[float], x: Callable[[int], float], y: Callable[[float], float]
) -> Element:
    """Return a line with a mark at every iteration; zero and infinity have no place on it."""
    found = [(x(n), y(v)) for n, v in enumerate(values, start=1) if 0 < v < math.inf]
    points = " ".join(f"{one:.1f},{other:.1f}" for one, other in found)
    marks = [element("circle", cx=f"{one:.1f}", cy=f"{other:.1f}", r="2.5") for one, other in found]
    return element("g", element("polyline", points=points), *marks, class_=f"line {name}")
