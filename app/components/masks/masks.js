// The query after each dropping block, with dropped patches marked. The masks are those sent by the server, if any,
// or those at the keep rate that the slider shows.
function maskStrip(match, { blocks, notes, compact }, byHand = false) {
  const countAlive = (stage) => match.survived.reduce((count, stages) => count + (stages >= stage), 0);
  const card = (id, title, lines, alt) => ({
    id: byHand ? `paint ${id}` : id,
    title,
    lines: compact ? lines.slice(0, 1) : lines,
    hint: byHand ? "Draw to drop or keep patches" : lines.join(", "),
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
      `after layer ${block}: ${kept} of ${entered} patches are kept`,
    );
  });
  const input = card(
    "input",
    byHand ? "All layers" : compact ? "Query" : "Input image",
    [`${match.survived.length} patches`, ...notes.slice(0, 1)],
    byHand ? "the query image, for all layers at once" : "the query image as the model sees it",
  );
  return { id: "masks", title: "", note: "", cards: [input, ...after] };
}

const INSTRUCTION = "Draw on a mask to drop or keep patches there, or on the first image for all layers.";

/**
 * Return a sentence on how many patches were dropped and what they show. It is a shorter form of `drop_sentence` in
 * fpc_core/explain/sentences.py.
 * @param {{survived: number[]}} match
 * @param {{blocks: number[], story: {how: string, areas: Record<string, string>} | null}} data
 * @param {number} gamma keep rate of the match
 * @param {boolean} byHand whether the visitor has chosen the patches
 */
function dropSentence({ survived }, { blocks, story }, gamma, byHand = false) {
  if (!story) return "";
  const dropped = [...survived.keys()].filter((patch) => survived[patch] < blocks.length);
  if (!dropped.length && byHand) return `You drop nothing: all ${survived.length} patches are kept.`;
  if (!dropped.length)
    return `Nothing was dropped: at a keep rate of ${gamma} all ${survived.length} patches are kept.`;
  const sentence = byHand
    ? `You drop ${dropped.length} of ${survived.length} patches.`
    : `${dropped.length} of ${survived.length} patches were dropped${story.how}.`;
  if (!story.areas.person) return sentence;
  const mean = (values) => dropped.reduce((sum, patch) => sum + values[patch], 0) / dropped.length;
  const [occluder, person] = [mean(decodeFloats(story.areas.occluder)), mean(decodeFloats(story.areas.person))];
  const parts = { occluder, person, background: 1 - occluder - person };
  const shares = Object.entries(parts).map(([name, share]) => `${name} ${Math.round(100 * Math.abs(share))}%`);
  return `${sentence} ${byHand ? "They" : "By the ground-truth mask, they"} show ${shares.join(", ")}.`;
}

function drawMask(canvas, image, geometry, survived, stage) {
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  markDropped(context, geometry, (patch) => survived[patch] < stage);
}

/**
 * Return the editor of a component, which is created in the first call with a painter, or null without a painter.
 * @param {Host} root
 * @param {HTMLElement} parentElement
 * @param {any} data
 * @param {(name: string, value: unknown) => void} setStateValue
 * @returns {MaskEditor | null}
 */
function editorOf(root, parentElement, { painter, blocks }, setStateValue) {
  const toggle = /** @type {HTMLElement} */ (parentElement.querySelector(".by-hand"));
  toggle.hidden = !painter;
  if (!painter) return null;
  if (!root.editor) {
    const tools = /** @type {HTMLElement} */ (parentElement.querySelector(".tools"));
    root.editor = new MaskEditor(blocks.length, { toggle, tools });
    root.sent = painter.serial;
  }
  root.editor.send = (survived) => {
    root.sent += 1;
    setStateValue("painted", { survived, serial: root.sent });
  };
  // As with sliders, a response to an earlier stroke must not undo a later one.
  if (painter.serial >= root.sent && !root.editor.painting.stroke) {
    root.sent = painter.serial;
    root.editor.receive(painter.survived);
    root.editor.model = painter.model ?? root.editor.model;
  }
  return root.editor;
}

/** @param {ComponentArgs<{key: string, image: string, grid: Grid, survived: number[] | null, blocks: number[], notes: string[], story: any, compact: boolean, width: string, painter: any}>} args */
export default function ({ data, parentElement, setStateValue }) {
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
  const makeCanvas = () => {
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    [canvas.width, canvas.height] = [geometry.width, geometry.height];
    return canvas;
  };
  const editor = editorOf(root, parentElement, data, setStateValue);
  const paintByHand = () => {
    const match = { survived: editor.painting.survived };
    const strip = maskStrip(match, data, true);
    if (!root.grids) root.grids = strip.cards.map((_, index) => editor.makeGrid(index - 1));
    const unused = [...root.grids];
    const [section] = drawStrips(root, [strip], { makeImage: () => unused.shift().element });
    root.classList.remove("stale");
    strip.cards.forEach((card, index) => {
      editor.draw(root.grids[index], index - 1, geometry, data.image, card.alt);
      section.cards.get(card.id).image.removeAttribute("aria-label"); // The grid inside has a label of its own.
    });
    setText(story, editor.isUnchanged ? INSTRUCTION : dropSentence(match, data, live.view.gamma, true));
  };
  const shownMatch = () => {
    // The answer in the live store may belong to another query if the keys differ. They also differ for the same query
    // while the server has not answered the last change in the editor.
    const isCurrent = live.answer?.key === data.key || (editor && root.sent > data.painter.serial);
    return data.survived ? data : isCurrent ? live.match() : null;
  };
  if (editor) editor.shown = () => shownMatch()?.survived ?? null;
  root.drawn = null;
  live.follow(root, () => {
    editor?.drawTools();
    if (editor?.isOn) {
      root.drawn = null;
      paintByHand();
      return;
    }
    root.grids = null;
    const match = shownMatch();
    root.classList.toggle("stale", !match);
    if (!match || !root.image.complete || root.drawn === match) return;
    root.drawn = match;
    const [section] = drawStrips(root, [maskStrip(match, data)], { makeImage: makeCanvas });
    [...section.cards.values()].forEach((card, stage) =>
      drawMask(card.image, root.image, geometry, match.survived, stage),
    );
    setText(story, dropSentence(match, data, live.view.gamma));
  });
  live.changed();
  return () => live.unfollow(root);
}
