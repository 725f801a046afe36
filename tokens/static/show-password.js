// Puts a button next to each password field, which shows what is typed there.
for (const field of document.querySelectorAll("input[type=password]")) {
  const hadFocus = document.activeElement === field;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn";
  button.innerHTML = 'Show<span class="vh"></span>';
  button.lastChild.textContent = ` ${field.labels[0].textContent}`;
  const row = document.createElement("div");
  row.className = "secret";
  field.replaceWith(row);
  row.append(field, button);
  if (hadFocus) field.focus();

  const show = (isShown) => {
    field.type = isShown ? "text" : "password";
    button.setAttribute("aria-pressed", isShown);
  };
  show(false);
  button.addEventListener("click", () => show(field.type === "password"));
  // Sent as a password, so that the browser does not suggest it later as a text.
  field.form.addEventListener("submit", () => show(false));
}
