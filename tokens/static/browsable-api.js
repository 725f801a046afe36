// Screen readers need the language of the page and a label for this button. Django REST framework's
// page has neither.
document.documentElement.lang = "en";
for (const toggle of document.querySelectorAll(".dropdown-toggle")) {
  toggle.setAttribute("aria-label", "Choose a format");
}
