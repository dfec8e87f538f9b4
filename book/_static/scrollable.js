/* What scrolls sideways (a wide formula, table or listing) must be reachable with the keyboard too. */
(() => {
  const candidates = 'mjx-container[display="true"], div.cell_output, pre, div.pst-scrollable-table-container';

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
