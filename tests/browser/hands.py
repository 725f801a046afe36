"""Who works in a browser: somebody with a mouse, and somebody without."""

from playwright.sync_api import expect

FOCUS = """() => {
  const focused = document.activeElement;
  const style = getComputedStyle(focused);
  const box = focused.getBoundingClientRect();
  return {
    element: focused.outerHTML.slice(0, 200),
    isMarked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isInView: box.width > 0 && box.height > 0 && box.top >= -1 && box.left >= -1
      && box.bottom <= innerHeight + 1 && box.right <= innerWidth + 1,
  };
}"""


class Mouse:
    """Somebody who points at things."""

    def __init__(self, tab):
        self.tab = tab

    def press(self, target):
        target.click()

    def choose(self, target):
        target.check()

    def write(self, target, text):
        target.fill(text)

    def tick(self, target):
        target.check()


class Keyboard:
    """Somebody who has no mouse: only Tab, Enter and typing, and an eye on where they are."""

    def __init__(self, tab):
        self.tab = tab

    def press(self, target):
        self.go_to(target)
        self.tab.keyboard.press("Enter")

    def choose(self, target):
        """One of several radio buttons: Tab leads to the chosen one, the arrows to the others."""
        self.go_to(self.tab.locator("input[type=radio]:checked"))
        while not target.is_checked():
            self.tab.keyboard.press("ArrowUp")

    def write(self, target, text):
        self.go_to(target)
        self.tab.keyboard.press("Control+a")
        self.tab.keyboard.type(text)

    def tick(self, target):
        self.go_to(target)
        self.tab.keyboard.press("Space")

    def go_to(self, target):
        expect(target).to_be_visible()
        self.tab.wait_for_load_state()  # before its style sheet, a page shows no focus
        for _ in range(60):
            self.tab.keyboard.press("Tab")
            if self.tab.evaluate("document.activeElement === document.body"):
                continue  # past the end, and around
            focus = self.tab.evaluate(FOCUS)
            assert focus["isMarked"], focus
            assert focus["isInView"], focus
            if target.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")
