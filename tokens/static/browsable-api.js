// What the page of Django REST framework lacks for a screen reader.
document.documentElement.lang = "en";
for (const toggle of document.querySelectorAll(".dropdown-toggle")) {
  toggle.setAttribute("aria-label", "Choose a format");
}
