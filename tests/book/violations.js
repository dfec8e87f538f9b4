/* What axe finds wrong on this page.

Contrast, and whether links stand out from the text around them, are by far its slowest rules. Where many pieces of
text have all that decides these in common, their colour, size, weight and underlining, that of the text around them
and what lies behind them, the first `sameLooks` of them are measured. */
async ({ contrast, sameLooks }) => {
  const OF_LOOKS = ["color-contrast", "link-in-text-block"];
  const PLAIN = "rgba(0, 0, 0, 0) none 1 none normal";
  const known = new Map([[null, ""]]);

  const ground = (element) => {
    if (!known.has(element)) {
      const style = getComputedStyle(element);
      const { backgroundColor, backgroundImage, opacity, filter, mixBlendMode } = style;
      const own = [backgroundColor, backgroundImage, opacity, filter, mixBlendMode].join(" ");
      const behind = ground(element.parentElement);
      known.set(element, own === PLAIN ? behind : `${behind} / ${own}`);
    }
    return known.get(element);
  };

  const looks = (element) => {
    const { color, fontSize, fontWeight, textShadow, textDecorationLine } = getComputedStyle(element);
    const around = getComputedStyle(element.parentElement ?? element);
    const own = [color, fontSize, fontWeight, textShadow, textDecorationLine, element.localName === "a"];
    return [...own, around.color, around.fontWeight, ground(element)].join(" | ");
  };

  const hasWords = (element) =>
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());

  const representatives = () => {
    const met = new Map();
    return [...document.querySelectorAll("body, body *")].filter((element) => {
      if (!hasWords(element) || !element.checkVisibility({ visibilityProperty: true })) return false;
      const key = looks(element);
      met.set(key, 1 + (met.get(key) ?? 0));
      return met.get(key) <= sameLooks;
    });
  };

  // A formula is drawn of many empty elements, which hold nothing to read (the MathML beside them does): set
  // aside, they cost no time.
  const drawn = [...document.querySelectorAll("mjx-math")].map((math) => [math, [...math.childNodes]]);
  drawn.forEach(([math]) => math.replaceChildren());
  // Those rules are told which elements to look at: a run of their own would read the whole page again.
  const measured = (contrast ? representatives() : []).flatMap((element) => [element, element.closest("a")]);
  measured.forEach((element) => element?.setAttribute("data-measured", ""));
  const selector = { "color-contrast": "[data-measured]", "link-in-text-block": "a[href][data-measured]" };
  axe.configure({ rules: OF_LOOKS.map((id) => ({ id, selector: selector[id] })) });
  // Only what is wrong, without fetching style sheets, which are in the page already.
  const { violations } = await axe.run({ resultTypes: ["violations"], preload: false });
  drawn.forEach(([math, parts]) => math.replaceChildren(...parts));
  measured.forEach((element) => element?.removeAttribute("data-measured"));
  return violations;
}
