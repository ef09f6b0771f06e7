export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".strips");
  root.style.setProperty("--card", `${data.width}px`);
  root.onkeydown = walk;
  const pick = data.clickable ? (id) => setTriggerValue("picked", id) : null;
  const strips = data.strips.map((strip) => ({
    ...strip,
    cards: strip.cards.map((card) => ({ ...card, source: data.pictures[card.image] })),
  }));
  drawStrips(root, strips, { pick });
}
