/* Paper cannot be unfolded: what is folded on the screen is printed open. */
(() => {
  let opened = [];

  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const part of opened) {
      part.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const part of opened) {
      part.open = false;
    }
  });
})();
