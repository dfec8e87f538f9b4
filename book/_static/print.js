/* Paper cannot be unfolded: answers and solutions that are folded on the screen are printed open. The code that
   only draws stays away. */
(() => {
  let opened = [];

  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .above-input)")];
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
