/* What axe finds wrong on this page.

Contrast is by far its slowest rule. Where many pieces of text have all that decides it in common, their colour,
size and weight and what lies behind them, it is measured of the first `sameLooks` of them. */
async ({ contrast, sameLooks }) => {
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
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    return [color, fontSize, fontWeight, textShadow, ground(element)].join(" | ");
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

  // Only what is wrong, without fetching style sheets, which are in the page already.
  const run = async (where, more) =>
    (await axe.run(where, { resultTypes: ["violations"], preload: false, ...more })).violations;

  // A formula is drawn of many empty elements, which hold nothing to read (the MathML beside them does): set
  // aside, they cost no time.
  const drawn = [...document.querySelectorAll("mjx-math")].map((math) => [math, [...math.childNodes]]);
  drawn.forEach(([math]) => math.replaceChildren());
  const found = await run(document, { rules: { "color-contrast": { enabled: false } } });
  const include = contrast ? representatives() : [];
  if (include.length) found.push(...(await run({ include }, { runOnly: ["color-contrast"] })));
  drawn.forEach(([math, parts]) => math.replaceChildren(...parts));
  return found;
}
