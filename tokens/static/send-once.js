// Sends a form once, however often its button is pressed before the answer is there.
const AGAIN = 10_000; // milliseconds until it can be sent again, because a download loads no page
const BUTTONS = "[type=submit], button:not([type])";
const sent = new Set();

function allow(form) {
  sent.delete(form);
  for (const button of form.querySelectorAll(BUTTONS)) {
    button.removeAttribute("aria-disabled");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (sent.has(form)) {
    event.preventDefault();
    return;
  }
  sent.add(form);
  // The attribute "disabled" would leave the name of the button out of what is sent.
  for (const button of form.querySelectorAll(BUTTONS)) {
    button.setAttribute("aria-disabled", "true");
  }
  setTimeout(allow, AGAIN, form);
});

// The button "Back" shows the page as it was left.
addEventListener("pageshow", () => sent.forEach(allow));
