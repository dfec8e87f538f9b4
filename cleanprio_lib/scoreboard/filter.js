(() => {
  for (const box of document.querySelectorAll('section[id="@name@"]:not([data-live])')) {
    box.dataset.live = "";
    const rows = [...box.querySelectorAll("tbody tr")];
    const filters = [...box.querySelectorAll("select")];
    const count = box.querySelector(".scoreboard-count");

    const update = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = filters.some(({ dataset, value }) => value && row.dataset[dataset.filter] !== value);
        shown += !row.hidden;
      }
      count.textContent = `${shown} of ${rows.length} claims shown.`;
    };

    box.querySelector(".scoreboard-filters").hidden = false;
    box.addEventListener("change", update);
    box.querySelector("button").addEventListener("click", () => {
      for (const filter of filters) {
        filter.value = "";
      }
      update();
    });
    // In classic Jupyter the arrows would select other cells.
    box.addEventListener("keydown", (event) => {
      if (/^(Arrow|Page|Home|End)/.test(event.key)) {
        event.stopPropagation();
      }
    });
    update();
  }
})();
