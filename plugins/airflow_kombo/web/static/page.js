// The pages work without this. It takes over Airflow's theme, opens links that lead out of the
// frame in which Airflow's UI shows a plugin, and copies.
"use strict";

try {
  const theme = localStorage.getItem("theme"); // where Airflow's UI keeps it
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // no storage: the system's theme
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-out]");
  if (link && window.parent !== window) {
    // The frame may open no window and not leave; Airflow's own document may, and it is ours too.
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    outside.target = link.origin === location.origin ? "_self" : "_blank";
    outside.rel = "noreferrer";
    outside.click();
  }
  const button = event.target.closest("[data-copy]");
  if (button) {
    const form = button.closest(".form");
    const text = form.querySelector("[data-copied]");
    const said = form.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(text.value);
      said.textContent = "Copied.";
    } catch {
      text.select();
      said.textContent = "Marked: copy it with the keyboard.";
    }
  }
});
