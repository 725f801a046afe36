"""The overview on the admin's front page."""

from typing import Any

from django import template

from tokens.overview import overview

register = template.Library()
HEIGHT = 60  # of a plot, in units of its SVG
STEP = 10  # from each bar to the next, in the same units


@register.inclusion_tag("admin/tokens/overview.html", name="overview")
def show_overview() -> dict[str, Any]:
    found = overview()
    days = found["days"]
    plots = [
        _plot("Sign-ins", [(count.day, count.sign_ins) for count in days]),
        _plot("Revocations", [(count.day, count.revocations) for count in days]),
    ]
    return {**found, "plots": plots, "height": HEIGHT, "width": STEP * len(days)}


def _plot(title: str, days: list[tuple[Any, int]]) -> dict[str, Any]:
    """A plot with a bar for each day. The highest bar has the HEIGHT of the plot."""
    most = max(count for _, count in days)
    bars = []
    for position, (day, count) in enumerate(days):
        height = count * HEIGHT / most if most else 0
        bars.append(
            {
                "day": day,
                "count": count,
                "x": position * STEP,
                "y": f"{HEIGHT - height:.1f}",
                "height": f"{height:.1f}",
            }
        )
    return {"title": title, "bars": bars, "total": sum(count for _, count in days), "most": most}
