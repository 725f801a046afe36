"""The alert rules: Prometheus takes them, they fire when they should, and docs explain each."""

import os
import re
import shutil
import subprocess

import pytest

from config import metrics, scrapes
from tests.site.test_imports import ROOT

RULES = ROOT / "deploy" / "alerts.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def series():
    """The names of everything that can be scraped."""
    counted = {f"{metric.name}_total" for metric in metrics.REGISTRY.collect()}
    return (
        {"guestlist_ready", "guestlist_purged_timestamp_seconds", "guestlist_after_restore_due"}
        | counted
        | {f"guestlist_{name}" for name in (*scrapes.FIGURES, *scrapes.MAILS)}
    )


QUESTIONS = ["check rules deploy/alerts.yml", "test rules tests/site/alerts.yml"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_prometheus_takes_the_rules_and_they_fire(question):
    """promtool is in Debian's package `prometheus`. CI sets REQUIRE_PROMTOOL."""
    if shutil.which("promtool") is None and not os.environ.get("REQUIRE_PROMTOOL"):
        pytest.skip("promtool is not installed")
    words = ["promtool", *question.split()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_ask_for_what_there_is():
    asked = set(re.findall(r"guestlist_\w+", RULES.read_text(encoding="utf-8")))
    assert asked
    assert asked <= series()


def test_documents_explain_each_alert_and_each_series():
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert alerts
    assert re.findall(r"^\| `(Guestlist\w+)` \|", OPERATIONS, re.M) == alerts
    metrics_section = OPERATIONS.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(guestlist_\w+)", metrics_section))
    assert told == (series() - {"guestlist_request_seconds_total"}) | {"guestlist_request_seconds"}


def test_runbooks_are_there():
    for anchor in re.findall(r"runbook: docs/operations.md#(\S+)", RULES.read_text("utf-8")):
        assert re.search(rf"^#+ {anchor}$", OPERATIONS, re.M | re.I), anchor
