// The strips by cosine and by D, which the browser ranks for the current values of the sliders, and the consolidated
// strip of the server's last answer. Order, ranks, marks and captions follow the rules of fpc_core/explain/cards.py.

/** @typedef {{show: number, junk: boolean, chosen: number}} StripSettings */
const JUNK = "junk";

/**
 * Return the change of a rank for the title of a card, such as "↑3", or an empty text if there is none.
 * @param {number} old
 * @param {number} rank
 */
function arrow(old, rank) {
  if (old === rank) return "";
  return old > rank ? ` ↑${old - rank}` : ` ↓${rank - old}`;
}

/**
 * Return the rank of every gallery row, counted from 1. Junk images have no rank.
 * @param {LiveMatch} match
 * @param {number[]} positions
 * @returns {Map<number, number>}
 */
function ranks(match, positions) {
  const ranked = positions.map((position) => match.indices[position]).filter((row) => live.person(row).tone !== JUNK);
  return new Map(ranked.map((row, position) => [row, position + 1]));
}

/**
 * Return the strip of a ranking.
 * @param {{id: string, title: string, symbol: string}} head
 * @param {LiveMatch} match
 * @param {number[]} positions shortlist positions, nearest first
 * @param {ArrayLike<number>} distance distance of the ranking, by shortlist position
 * @param {[string, ArrayLike<number>][]} others names and values of other distances to show
 * @param {StripSettings} settings
 * @param {Map<number, number>} [before] ranks in the strip above, from which rank changes are computed
 * @param {Set<number>} [decoder] gallery rows that the decoder reads
 * @returns {Strip}
 */
function rankedStrip(head, match, positions, distance, others, { show, junk, chosen }, before, decoder) {
  const cards = [];
  let rank = 0;
  let hidden = 0;
  for (const position of positions) {
    if (rank === show) break;
    const row = match.indices[position];
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
      source: live.images.get(person.image),
      title,
      lines: [
        `${head.symbol} ${distance[position].toFixed(3)}`,
        ...others.map(([name, part]) => `${name} ${part[position].toFixed(3)}`),
        person.line,
      ],
      tone: person.tone,
      mark: person.mark,
      tag: decoder?.has(row) ? "K" : "",
      alt: `rank ${title}, ${person.about}`,
      selected: row === chosen,
    });
  }
  const tones = cards.map((card) => card.tone);
  const right = tones.filter((tone) => tone === "match").length;
  const judged = right + tones.filter((tone) => tone === "other").length;
  const note = [judged ? `${right} of the top ${judged} correct` : "", hidden ? `${hidden} same-camera hidden` : ""]
    .filter(Boolean)
    .join(" · ");
  return { ...head, cards, note };
}

function strips(data) {
  const match = live.match();
  if (!match) return null;
  const { alpha, k } = live.view;
  const positions = byDistance(match, alpha);
  const byCosine = [...match.indices.keys()];
  const decoder = new Set(positions.slice(0, k).map((position) => match.indices[position]));
  const cosine = { id: "cosine", title: "1. By global feature (cosine)", symbol: "D_cos" };
  const distance = {
    id: "distance",
    title: `2. Re-ranked with patch matching (D, α = ${Number(alpha.toFixed(3))})`,
    symbol: "D",
  };
  return [
    rankedStrip(cosine, match, byCosine, match.dCos, [["D_EMD", match.dEmd]], data),
    rankedStrip(
      distance,
      match,
      positions,
      combined(match, alpha),
      [
        ["D_cos", match.dCos],
        ["D_EMD", match.dEmd],
      ],
      data,
      ranks(match, byCosine),
      decoder,
    ),
  ];
}

function finalStrip(data) {
  const { gamma, alpha, k, byHand } = live.answer ?? {};
  const { view } = live;
  const stale = (gamma !== view.gamma && !byHand) || alpha !== view.alpha || k !== view.k;
  const cards = data.final.cards.map((card) => ({ ...card, source: live.images.get(card.image) }));
  const note = stale
    ? `Release the slider to update this row (still showing γ = ${gamma}, α = ${Number(alpha.toFixed(3))}, K = ${k})`
    : data.final.note;
  return { strip: { ...data.final, cards, note }, stale };
}

/**
 * Shorten the cards of a strip to one number; the rest is in the tooltip.
 * @param {Strip} strip
 * @returns {Strip}
 */
function shortened(strip) {
  const cards = strip.cards.map((card) => ({
    ...card,
    lines: [card.lines[0].split(" ").at(-1)],
    hint: [card.alt, ...card.lines].join("\n"),
  }));
  return { ...strip, cards };
}

/**
 * Draw the buttons that choose the strip of a narrow screen. Wide screens show all strips and hide the buttons.
 * @param {Host} choice
 * @param {any[]} sections
 */
function drawChoice(choice, sections) {
  choice.shown ??= "final";
  const names = { cosine: "Cosine", distance: "By D", final: "Final" };
  if (!choice.children.length) {
    for (const [id, name] of Object.entries(names)) {
      const button = element("button", "", name);
      button.type = "button";
      button.dataset.shows = id;
      button.addEventListener("click", () => {
        choice.shown = id;
        live.changed();
      });
      choice.append(button);
    }
  }
  for (const button of /** @type {Iterable<HTMLElement>} */ (/** @type {unknown} */ (choice.children)))
    button.setAttribute("aria-pressed", String(button.dataset.shows === choice.shown));
  for (const section of sections) section.classList.toggle("shown", section.dataset.strip === choice.shown);
}

/** @param {ComponentArgs<StripSettings & {answer: any, final: any, width: string, compact: boolean}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".strips");
  /** @type {Host} */
  const choice = parentElement.querySelector(".choice");
  parentElement.querySelector(".ranking").classList.toggle("compact", data.compact);
  root.style.setProperty("--card", data.width);
  root.onkeydown = moveFocus;
  const pick = (id) => setTriggerValue("picked", id);
  live.receive({ answer: { ...data.answer, match: decodeMatch(data.answer.match) } });
  const paint = () => {
    const moving = strips(data);
    if (!moving) {
      // The server's next answer updates the strips.
      for (const section of root.children) section.classList.add("stale");
      return;
    }
    if (!data.final) {
      drawStrips(root, moving.slice(1), { pick }).forEach((section) => section.classList.remove("stale"));
      return;
    }
    const { strip, stale } = finalStrip(data);
    const all = [...moving, strip];
    const sections = drawStrips(root, data.compact ? all.map(shortened) : all, { pick });
    sections.forEach((section, index) => section.classList.toggle("stale", stale && index === 2));
    drawChoice(choice, sections);
  };
  live.follow(root, paint);
  live.changed();
  return () => live.unfollow(root);
}
