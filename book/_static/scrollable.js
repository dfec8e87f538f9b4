/* What scrolls sideways (a wide formula, table or listing) must be reachable with the keyboard too. */
(() => {
  // The theme sees to some of them as well, a third of a second later.
  const candidates =
    'mjx-container[display="true"], div.cell_output, div.cell_output > .output, pre, div.pst-scrollable-table-container';

  const update = () => {
    for (const element of document.querySelectorAll(candidates)) {
      if (element.scrollWidth > element.clientWidth) {
        element.tabIndex = 0;
      }
    }
  };

  window.addEventListener("load", () => {
    const drawn = window.MathJax?.startup?.promise ?? Promise.resolve();
    drawn.then(update);
  });
  window.addEventListener("resize", update);
})();
