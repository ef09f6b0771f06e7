// The strips by cosine and by D, ranked here for whatever the dials say, and the consolidated strip of the server's
// last answer. Rules of order, rank, mark and caption are those of fpc_core/explain/cards.py.
const JUNK = "junk";

function arrow(old, rank) {
  if (old === rank) return "";
  return old > rank ? ` ↑${old - rank}` : ` ↓${rank - old}`;
}

// 1-based rank of every memory row; junk images have none.
function ranks(match, places) {
  const ranked = places.map((place) => match.indices[place]).filter((row) => live.person(row).tone !== JUNK);
  return new Map(ranked.map((row, place) => [row, place + 1]));
}

function rankedStrip(head, match, places, distance, others, { show, junk, chosen }, before, decoder) {
  const cards = [];
  let rank = 0;
  let hidden = 0;
  for (const place of places) {
    if (rank === show) break;
    const row = match.indices[place];
    const person = live.person(row);
    if (person.tone === JUNK && !junk) {
      hidden += 1;
      continue;
    }
    let title = JUNK;
    if (person.tone !== JUNK) {
      rank += 1;
      title = `${rank}${before ? arrow(before.get(row), rank) : ""}`;
    }
    cards.push({
      id: String(row),
      source: live.pictures.get(person.image),
      title,
      lines: [`${head.symbol} ${distance[place].toFixed(3)}`, ...others.map(([name, part]) => `${name} ${part[place].toFixed(3)}`), person.line],
      tone: person.tone,
      mark: person.mark,
      tag: decoder?.has(row) ? "K" : "",
      alt: `rank ${title}, ${person.about}`,
      selected: row === chosen,
    });
  }
  const tones = cards.map((card) => card.tone);
  const right = tones.filter((tone) => tone === "match").length;
  const told = right + tones.filter((tone) => tone === "other").length;
  const note = [told ? `${right} of ${told} right` : "", hidden ? `${hidden} junk hidden` : ""].filter(Boolean).join(" · ");
  return { ...head, cards, note };
}

function strips(data) {
  const match = live.match();
  if (!match) return null;
  const { alpha, k } = live.view;
  const places = byDistance(match, alpha);
  const byCosine = [...match.indices.keys()];
  const decoder = new Set(places.slice(0, k).map((place) => match.indices[place]));
  const cosine = { id: "cosine", title: "By cosine alone", symbol: "cos" };
  const distance = { id: "distance", title: `By D, α = ${Number(alpha.toFixed(3))}`, symbol: "D" };
  return [
    rankedStrip(cosine, match, byCosine, match.dCos, [["emd", match.dEmd]], data),
    rankedStrip(distance, match, places, combined(match, alpha), [["cos", match.dCos], ["emd", match.dEmd]], data, ranks(match, byCosine), decoder),
  ];
}

function finalStrip(data) {
  const { gamma, alpha, k } = live.answer ?? {};
  const { view } = live;
  const stale = gamma !== view.gamma || alpha !== view.alpha || k !== view.k;
  const cards = data.final.cards.map((card) => ({ ...card, source: live.pictures.get(card.image) }));
  const note = stale ? `as it was at γ = ${gamma}, α = ${Number(alpha.toFixed(3))}, K = ${k}: let go to consolidate` : data.final.note;
  return { strip: { ...data.final, cards, note }, stale };
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".strips");
  root.style.setProperty("--card", `${data.width}px`);
  root.onkeydown = walk;
  const pick = (id) => setTriggerValue("picked", id);
  live.take({ answer: { ...data.answer, match: readMatch(data.answer.match) } });
  const paint = () => {
    const moving = strips(data);
    if (!moving) {
      for (const section of root.children) section.classList.add("stale"); // until the server's next answer
      return;
    }
    if (!data.final) {
      drawStrips(root, moving.slice(1), { pick }).forEach((section) => section.classList.remove("stale"));
      return;
    }
    const { strip, stale } = finalStrip(data);
    drawStrips(root, [...moving, strip], { pick }).forEach((section, place) => section.classList.toggle("stale", stale && place === 2));
  };
  live.follow(root, paint);
  live.changed();
  return () => live.leave(root);
}
