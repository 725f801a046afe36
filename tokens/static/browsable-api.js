// Adds to Django REST framework's page what its scripts lack. An answer to a form replaces the page
// and runs this again in the same window, so nothing here may be declared globally.
{
  const { question, answer } = document.currentScript.dataset;

  // ajax-form.js accepts any answer as much as a page, and would be sent JSON, which it cannot show.
  $.ajaxPrefilter((options) => {
    options.headers.Accept = "text/html";
  });

  // Screen readers need the language of the page and a label for this button.
  document.documentElement.lang = "en";
  for (const toggle of document.querySelectorAll(".dropdown-toggle")) {
    toggle.setAttribute("aria-label", "Choose a format");
  }

  // The dialog before a DELETE is hidden from screen readers, and has another question.
  const dialog = document.querySelector("#deleteModal");
  dialog?.removeAttribute("aria-hidden");
  if (dialog && question) {
    dialog.querySelector("h4").textContent = question;
    dialog.querySelector(".btn-danger").textContent = answer;
  }

  // A field that is empty is left out, unless it was emptied.
  const readMembers = (form) => {
    const members = {};
    for (const field of form.elements) {
      if (field.type === "checkbox") {
        members[field.name] = field.checked;
      } else if (field.name && (field.value || field.defaultValue)) {
        members[field.name] = field.value;
      }
    }
    return members;
  };

  // What ajax-form.js sends in place of the fields.
  const override = (form, name, value) => {
    const input = form.appendChild(document.createElement("input"));
    Object.assign(input, { type: "hidden", value });
    input.dataset.override = name;
  };

  const prepare = (event) => {
    const form = event.target;
    if (!form.closest(".well")) return;
    if (form.method === "post" && question && !confirm(question)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    override(form, "content", JSON.stringify(readMembers(form)));
    override(form, "content-type", "application/json");
  };
  document.addEventListener("submit", prepare, { capture: true });
}
