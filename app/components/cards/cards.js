/** @param {ComponentArgs<{strips: Strip[], pictures: Record<string, string>, width: string, clickable: boolean}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".strips");
  root.style.setProperty("--card", data.width);
  root.onkeydown = moveFocus;
  const pick = data.clickable ? (id) => setTriggerValue("picked", id) : null;
  const strips = data.strips.map((strip) => ({
    ...strip,
    cards: strip.cards.map((card) => ({ ...card, source: data.pictures[card.image] })),
  }));
  drawStrips(root, strips, { pick });
}
