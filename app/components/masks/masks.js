// The query after each dropping block, with dropped patches marked. The masks are those sent by the server, if any,
// or those at the keep rate that the slider shows.
function maskStrip(match, { blocks, notes, compact }) {
  const countAlive = (stage) => match.survived.reduce((count, stages) => count + (stages >= stage), 0);
  const card = (id, title, lines, alt) => ({
    id,
    title,
    lines: compact ? lines.slice(0, 1) : lines,
    hint: lines.join(", "),
    alt,
    tone: "neutral",
    mark: "",
    tag: "",
    selected: false,
  });
  const after = blocks.map((block, index) => {
    const [entered, kept] = [countAlive(index), countAlive(index + 1)];
    const lines = [`${kept} kept`, `${entered - kept} dropped`, ...notes.slice(index + 1, index + 2)];
    return card(
      `block ${block}`,
      compact ? `Layer ${block}` : `After layer ${block}`,
      lines,
      `after layer ${block} ${kept} of ${entered} patches are kept`,
    );
  });
  const input = card(
    "input",
    compact ? "Query" : "Input image",
    [`${match.survived.length} patches`, ...notes.slice(0, 1)],
    "the query image as the model sees it",
  );
  return { id: "masks", title: "", note: "", cards: [input, ...after] };
}

/**
 * Return how many patches were dropped and what they show: `drop_sentence` of fpc_core/explain/sentences.py, shortened.
 * @param {{survived: number[]}} match
 * @param {{blocks: number[], story: {how: string, areas: Record<string, string>} | null}} data
 * @param {number} gamma keep rate of the match
 */
function dropSentence({ survived }, { blocks, story }, gamma) {
  if (!story) return "";
  const dropped = [...survived.keys()].filter((patch) => survived[patch] < blocks.length);
  if (!dropped.length)
    return `Nothing was dropped: at a keep rate of ${gamma} all ${survived.length} patches are kept.`;
  const sentence = `${dropped.length} of ${survived.length} patches were dropped${story.how}.`;
  if (!story.areas.person) return sentence;
  const mean = (values) => dropped.reduce((sum, patch) => sum + values[patch], 0) / dropped.length;
  const [occluder, person] = [mean(decodeFloats(story.areas.occluder)), mean(decodeFloats(story.areas.person))];
  const parts = { occluder, person, background: 1 - occluder - person };
  const shares = Object.entries(parts).map(([name, share]) => `${name} ${Math.round(100 * Math.abs(share))}%`);
  return `${sentence} By the ground-truth mask, they show ${shares.join(", ")}.`;
}

function drawMask(canvas, image, geometry, survived, stage) {
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  markDropped(context, geometry, (patch) => survived[patch] < stage);
}

/** @param {ComponentArgs<{key: string, image: string, grid: Grid, survived: number[] | null, blocks: number[], notes: string[], story: any, compact: boolean, width: string}>} args */
export default function ({ data, parentElement }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".strips");
  const story = parentElement.querySelector(".story");
  root.style.setProperty("--card", data.width);
  root.classList.toggle("compact", data.compact);
  if (root.source !== data.image) {
    root.source = data.image;
    root.image = new Image();
    root.image.onload = () => live.changed();
    root.image.src = data.image;
  }
  const geometry = new Geometry(data.grid);
  const makeImage = () => {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    [canvas.width, canvas.height] = [geometry.width, geometry.height];
    return canvas;
  };
  root.drawn = null;
  live.follow(root, () => {
    // The answer in the live store may belong to another query.
    const match = data.survived ? data : live.answer?.key === data.key ? live.match() : null;
    root.classList.toggle("stale", !match);
    if (!match || !root.image.complete || root.drawn === match) return;
    root.drawn = match;
    const [section] = drawStrips(root, [maskStrip(match, data)], { makeImage });
    [...section.cards.values()].forEach((card, stage) =>
      drawMask(card.image, root.image, geometry, match.survived, stage),
    );
    setText(story, dropSentence(match, data, live.view.gamma));
  });
  live.changed();
  return () => live.unfollow(root);
}
