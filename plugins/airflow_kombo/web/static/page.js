// The pages work without this script. The script takes over Airflow's theme, opens links that lead
// out of the frame in which Airflow's UI shows a plugin, and copies text.
"use strict";

try {
  const theme = localStorage.getItem("theme"); // Airflow's UI stores it here
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the system's theme is used.
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-out]");
  if (link && window.parent !== window) {
    // The frame is not allowed to open a window or to leave. Airflow's own document is, and it has
    // the same origin as this page.
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
    const message = form.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(text.value);
      message.textContent = "Copied.";
    } catch {
      text.select();
      message.textContent = "The text is selected: copy it with the keyboard.";
    }
  }
});
