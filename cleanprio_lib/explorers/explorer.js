(() => {
  for (const box of document.querySelectorAll('figure[id="@name@"]:not([data-live])')) {
    box.dataset.live = "";
    const table = JSON.parse(box.querySelector("script").textContent);
    const marks = [...box.querySelectorAll("[data-mark]")];
    const controls = [...box.querySelectorAll("[data-slider]")];
    const words = box.querySelector(".explorer-words");

    const position = (control) =>
      control.type === "range" ? +control.value : +control.querySelector("input:checked").value;

    let before;
    const draw = () => {
      const at = controls.map(position);
      const pick = ({ step, data, of }) => {
        const index = step.reduce((sum, size, slider) => sum + size * at[slider], 0);
        return data[of ? of[index] : index];
      };
      for (const mark of marks) {
        const data = pick(table.marks[mark.dataset.mark]);
        if (mark.localName === "path") {
          mark.setAttribute("d", data);
        } else {
          mark.setAttribute("x", data[0]);
          mark.setAttribute("y", data[1]);
          mark.innerHTML = data[2];
        }
      }
      const said = table.words.map((part) => (part.step ? pick(part) : part)).join(" ");
      if (said !== before) {
        words.innerHTML = before = said;
      }
      controls.forEach((control, slider) => {
        if (control.type === "range") {
          const text = table.texts[slider][at[slider]];
          control.setAttribute("aria-valuetext", text);
          control.parentElement.querySelector("output").textContent = text;
        }
      });
    };

    box.querySelector(".explorer-controls").hidden = false;
    box.querySelector(".explorer-still").hidden = true;
    box.addEventListener("input", draw);
    // In classic Jupyter the arrows would select other cells.
    box.addEventListener("keydown", (event) => {
      if (/^(Arrow|Page|Home|End)/.test(event.key)) {
        event.stopPropagation();
      }
    });
  }
})();
