// Sends a form once, however often its button is pressed before the answer is there. The page of
// the browsable API runs this again in the same window, so nothing here is declared globally.
{
  const AGAIN = 10_000; // milliseconds until it can be sent again, because a download loads no page
  const BUTTONS = "[type=submit], button:not([type])";
  const sent = new Set();

  const allow = (form) => {
    sent.delete(form);
    for (const button of form.querySelectorAll(BUTTONS)) {
      button.removeAttribute("aria-disabled");
    }
  };

  const send = (event) => {
    const form = event.target;
    if (form.method !== "post" && !form.dataset.method) return;
    if (sent.has(form)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    sent.add(form);
    // The attribute "disabled" would leave the name of the button out of what is sent.
    for (const button of form.querySelectorAll(BUTTONS)) {
      button.setAttribute("aria-disabled", "true");
    }
    setTimeout(allow, AGAIN, form);
  };

  // Captured, because the browsable API sends forms by a script of its own.
  document.addEventListener("submit", send, { capture: true });

  // The button "Back" shows the page as it was left.
  addEventListener("pageshow", () => sent.forEach(allow));
}
