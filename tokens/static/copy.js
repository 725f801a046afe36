// Puts a button that copies after each element with data-copy, the words of the button. Without
// this script, people select the text.
for (const shown of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  const words = shown.dataset.copy;
  Object.assign(button, { type: "button", className: "btn button", textContent: words });
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  shown.after(button, " ", said);
  shown.select?.();
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(shown.value ?? shown.innerText);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Your browser copies nothing by itself. Select the text.";
    }
  });
}
