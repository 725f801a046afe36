"""Which form an answer of the API has: JSON, unless a browser asks for a page."""

import re
from typing import Any, NamedTuple

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation

HTML, XHTML = "text/html", "application/xhtml+xml"
JSON = "application/json"
PLAIN = {"", "*/*", JSON}  # what most programs send
WEIGHT = re.compile(r"[01](?:\.[0-9]{0,3})?|\.[0-9]{1,3}")  # some clients leave the zero out

Weights = dict[str, float]


class ContentNegotiation(DefaultContentNegotiation):
    """Weighs media ranges as RFC 9110 (12.4.2, 12.5.1): the most specific range decides.

    A page is sent if HTML weighs more than every other form here, and the client is a browser or
    asks for nothing else. A browser also names XHTML. Libraries, such as Java's, name HTML by
    default, and mean `*/*`.
    """

    def select_renderer(self, request, renderers, format_suffix=None):
        # Not `request.headers`, which would parse every header.
        meta = request._request.META
        accept = meta.get("HTTP_ACCEPT", "")
        is_plain = accept in PLAIN and not format_suffix and not meta.get("QUERY_STRING")
        if is_plain and renderers[0].media_type == JSON:
            return renderers[0], JSON
        wanted = format_suffix or request.query_params.get(self.settings.URL_FORMAT_OVERRIDE)
        if wanted:
            renderers = self.filter_renderers(renderers, wanted)
        weights = read_accept(accept)
        page = _heaviest([one for one in renderers if one.media_type == HTML], weights)
        other = _heaviest([one for one in renderers if one.media_type != HTML], weights)
        is_meant = XHTML in weights or other.is_named or not other.weight
        chosen = page if page.weight > other.weight and is_meant else other
        if not chosen.weight:
            raise NotAcceptable(available_renderers=renderers)
        return chosen.renderer, chosen.renderer.media_type


def read_accept(header: str) -> Weights:
    """The weight of each media range in an `Accept` header.

    A range whose weight cannot be read is left out. A header without a range accepts everything.
    """
    weights: Weights = {}
    for item in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        weight = next((one[2:].strip() for one in parameters if one.startswith("q=")), "1")
        if media_range and WEIGHT.fullmatch(weight):
            name = "*/*" if media_range == "*" else media_range
            weights[name] = max(weights.get(name, 0), min(float(weight), 1))
    return weights or {"*/*": 1}


class Weighed(NamedTuple):
    renderer: Any
    weight: float
    is_named: bool  # by the client, without a wildcard


def _heaviest(renderers: list[Any], weights: Weights) -> Weighed:
    """The first of the renderers that weigh most. Its weight is 0 if none is accepted."""
    weighed = [_weigh(renderer, weights) for renderer in renderers]
    return max(weighed, key=lambda one: one.weight, default=Weighed(None, 0, False))


def _weigh(renderer: Any, weights: Weights) -> Weighed:
    media_type = renderer.media_type
    if media_type in weights:
        return Weighed(renderer, weights[media_type], True)
    whole_type = media_type.partition("/")[0] + "/*"
    return Weighed(renderer, weights.get(whole_type, weights.get("*/*", 0)), False)
