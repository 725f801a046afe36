"""What somebody sees of a page: axe-core's findings, its width, and the gaps between its parts."""

from pathlib import Path

import axe_playwright_python
import pytest

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDTHS = [1280, 390, 320]  # a desk, a phone, and what WCAG 1.4.10 asks for

# Only colours depend on the scheme, so in the dark only they are looked at.
RULES = {
    "light": {"runOnly": {"type": "tag", "values": WCAG}},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast"]}},
}

# The admin fades from one colour into the other.
COLOURS_CHANGED = "Promise.all(document.getAnimations().map(each => each.finished.catch(() => 0)))"

# Finds four faults. What is wider than the screen or, at a desk, than the frame of a list. A title
# that is covered. What is pressed and is smaller than 24 pixels (WCAG 2.5.8). What is nearer than 4
# pixels to the next, of what is pressed and boxes with a border. Links in sentences are left out.
MEASURE = """() => {
  const SIZE = 24, GAP = 4, ROUNDING = 0.5, DESK = 1280;
  const CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary";
  const findings = [];
  const name = (element) => element.outerHTML.replace(/\\s+/g, " ").slice(0, 120);

  const shownBox = (element) => {
    let { left, top, right, bottom } = element.getBoundingClientRect();
    for (let parent = element.parentElement; parent; parent = parent.parentElement) {
      if (getComputedStyle(parent).overflowX === "visible") continue;
      const frame = parent.getBoundingClientRect();
      left = Math.max(left, frame.left);
      right = Math.min(right, frame.right);
      top = Math.max(top, frame.top);
      bottom = Math.min(bottom, frame.bottom);
    }
    return { left, top, right, bottom, width: right - left, height: bottom - top };
  };
  const isFramed = (style) => ["Top", "Right", "Bottom", "Left"].every(
    (side) => parseFloat(style[`border${side}Width`]) > 0
  );

  const parts = [];
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const isControl = element.matches(CONTROLS);
    if (style.display === "inline" || style.display.startsWith("table-")) continue;
    if (!isControl && !isFramed(style)) continue;
    const box = shownBox(element);
    const isShown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!isShown || box.width <= 1 || box.height <= 1 || box.right <= 0) continue;
    if (isControl && Math.min(box.width, box.height) < SIZE - ROUNDING) {
      findings.push(`${box.width} x ${box.height} px: ${name(element)}`);
    }
    parts.push({ element, box });
  }

  parts.forEach((one, index) => {
    for (const other of parts.slice(index + 1)) {
      if (one.element.contains(other.element)) continue;
      const [a, b] = [one.box, other.box];
      const across = Math.max(a.left - b.right, b.left - a.right);
      const down = Math.max(a.top - b.bottom, b.top - a.bottom);
      const gap = Math.max(across, down);
      if (gap < GAP - ROUNDING) {
        findings.push(`${gap} px between ${name(one.element)} and ${name(other.element)}`);
      }
    }
  });

  scrollTo(0, 0);
  for (const title of document.querySelectorAll("h1")) {
    const { left, top } = title.getBoundingClientRect();
    if (!title.contains(document.elementFromPoint(left + 1, top + 1))) {
      findings.push(`covered: ${name(title)}`);
    }
  }
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) findings.push(`the page is ${width} px wide`);
  for (const frame of document.querySelectorAll(".results")) {
    const hidden = frame.scrollWidth - frame.clientWidth;
    if (innerWidth >= DESK && hidden > 0) findings.push(`${hidden} px of the list are hidden`);
  }
  return findings;
}"""


def assert_accessible(tab, *, exclude=()):
    """Nothing is wrong with the page, light and dark, as wide as a desk and as two phones."""
    tab.evaluate(AXE)
    findings = []
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 800})
        for scheme, rules in RULES.items():
            tab.emulate_media(color_scheme=scheme)
            tab.evaluate(COLOURS_CHANGED)
            found = violations(tab, rules, exclude)
            findings += [f"{width} px, {scheme}, {each}" for each in found]
        findings += [f"{width} px, {each}" for each in tab.evaluate(MEASURE)]
    if findings:
        pytest.fail("\n".join([tab.url, *findings]))


def assert_accessible_without_script(tab, *, exclude=()):
    """The same of a page whose scripts have not run. It is loaded again for that."""
    chrome = tab.context.new_cdp_session(tab)
    chrome.send("Emulation.setScriptExecutionDisabled", {"value": True})
    tab.reload()
    chrome.send("Emulation.setScriptExecutionDisabled", {"value": False})  # for axe-core
    assert_accessible(tab, exclude=exclude)


def violations(tab, rules, exclude):
    context = {"exclude": [[css] for css in exclude]}
    found = tab.evaluate("given => axe.run(...given)", [context, rules])
    for violation in found["violations"]:
        for node in violation["nodes"]:
            where = " ".join(map(str, node["target"]))
            yield f"{violation['id']}: {where}: {node['failureSummary']}"
