/* On the search page: no excerpts where pages cannot be read (from disk), and what a result points at. */
(() => {
  if (typeof DOCUMENTATION_OPTIONS === "object" && location.protocol === "file:") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  const words = (anchor) => {
    const [kind, ...name] = anchor.split("-");
    const said = name.join("-");
    return {
      claim: `claim ${said}`,
      paper: said.replaceAll(/(^|-)(.)/g, (_, dash, letter) => (dash ? " " : "") + letter.toUpperCase()),
      symbol: said,
      term: said.replaceAll("-", " "),
    }[kind];
  };

  const explain = (results) => {
    for (const link of results.querySelectorAll("li > a[href*='#']:not([data-told])")) {
      link.dataset.told = "";
      const said = words(decodeURIComponent(link.hash.slice(1)));
      if (said) {
        link.append(`: ${said}`);
      }
    }
  };

  addEventListener("DOMContentLoaded", () => {
    const results = document.getElementById("search-results");
    if (results) {
      new MutationObserver(() => explain(results)).observe(results, { childList: true, subtree: true });
    }
  });
})();
