// Functions that draw image cards, shared by the components that show strips.

/**
 * Options of a strip. `pick` is called with the id of a clicked card; without it, cards are not buttons. `makeImage`
 * makes the element inside the frame of a card, by default an <img>.
 * @typedef {{pick?: ((id: string) => void) | null, makeImage?: () => HTMLElement}} StripOptions
 */

/**
 * Set the text of a node, unless it already has this text.
 * @param {Element} node
 * @param {string} text
 */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Create the elements of a card, which `fillCard` then fills.
 * @param {ImageCard} card
 * @param {((id: string) => void) | null} pick
 * @param {() => HTMLElement} makeImage
 */
function drawCard(card, pick, makeImage) {
  const node = element(pick ? "button" : "figure");
  const frame = element("div", "frame");
  const caption = element("div", "caption");
  node.image = makeImage();
  node.mark = element("span", "mark");
  node.tag = element("span", "tag");
  node.head = element("div", "title");
  node.lines = [];
  frame.append(node.image, node.mark, node.tag);
  caption.append(node.head);
  node.append(frame, caption);
  if (pick) {
    node.type = "button";
    node.addEventListener("click", () => node.closest(".strip").pick(card.id));
  }
  return node;
}

/**
 * Update the elements of a card that have changed.
 * @param {any} node
 * @param {ImageCard} card
 * @param {Strip} strip
 */
function fillCard(node, card, strip) {
  const name = `card ${card.tone}${card.selected ? " selected" : ""}`;
  if (node.className !== name) node.className = name;
  node.dataset.card = `${strip.id}/${card.id}`;
  const label = card.alt || card.title;
  if (node.type === "button") {
    node.setAttribute("aria-pressed", String(card.selected));
    node.setAttribute("aria-label", label);
  }
  if (node.image.tagName === "IMG") {
    if (card.source && node.source !== card.source) node.image.src = node.source = card.source;
    node.image.alt = label;
  } else {
    node.image.setAttribute("aria-label", label);
  }
  setText(node.mark, card.mark);
  setText(node.tag, card.tag);
  node.mark.hidden = !card.mark;
  node.tag.hidden = !card.tag;
  setText(node.head, card.title);
  while (node.lines.length < card.lines.length) node.lines.push(element("div", "line"));
  node.lines.splice(card.lines.length).forEach((line) => line.remove());
  card.lines.forEach((text, index) => {
    const line = node.lines[index];
    if (!line.isConnected) node.head.parentElement.append(line);
    setText(line, text);
  });
  const hint = card.hint ?? card.lines.join("\n");
  if (node.title !== hint) node.title = hint;
}

/**
 * Return the distance in pixels between two adjacent cards of a row, which are all equally wide. It is measured only
 * if it may have changed, because measuring forces the browser to lay out the page.
 * @param {any} row
 */
function cardPitch(row) {
  if (row.measured !== row.children.length) {
    row.measured = row.children.length;
    row.pitch = row.measured > 1 ? row.children[1].offsetLeft - row.children[0].offsetLeft : 0;
  }
  return row.pitch;
}

/**
 * Put cards into a row in the given order. Cards that were already in the row slide to their new position, unless the
 * visitor prefers reduced motion.
 * @param {Host} row
 * @param {any[]} nodes
 */
function placeCards(row, nodes) {
  const before = new Map([...row.children].map((node, index) => [node, index]));
  if (nodes.length === before.size && nodes.every((node, index) => before.get(node) === index)) return;
  const glide = before.size > 0 && !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tree = /** @type {Document | ShadowRoot} */ (row.getRootNode());
  const focused = /** @type {HTMLElement} */ (tree.activeElement);
  const keep = new Set(nodes);
  for (const node of before.keys()) if (!keep.has(node)) node.remove();
  nodes.forEach((node, index) => {
    if (row.children[index] !== node) row.insertBefore(node, row.children[index] ?? null);
  });
  if (keep.has(focused) && tree.activeElement !== focused) focused.focus({ preventScroll: true });
  if (!glide) return;
  // Animations are added up, so a card that has to move again while it slides continues from its current position.
  const options = { duration: 220, easing: "ease-out", composite: "add" };
  nodes.forEach((node, index) => {
    const from = before.get(node);
    if (from === undefined) node.animate([{ opacity: 0 }, { opacity: 1 }], { ...options, composite: "replace" });
    else if (from !== index)
      node.animate(
        [{ transform: `translateX(${(from - index) * cardPitch(row)}px)` }, { transform: "translateX(0)" }],
        options,
      );
  });
}

/**
 * Draw a strip into `node`, or into a new section. Cards with a known id are reused, so that they do not flicker.
 * @param {any} node
 * @param {Strip} strip
 * @param {StripOptions} options
 */
function drawStrip(node, strip, { pick = null, makeImage = () => element("img") } = {}) {
  if (!node) {
    node = element("section", "strip");
    node.dataset.strip = strip.id;
    node.head = element("div", "head");
    node.head.append(element("span", "title"), element("span", "note"));
    node.row = element("div", "row");
    node.cards = new Map();
    node.append(node.head, node.row);
    new ResizeObserver(() => (node.row.measured = null)).observe(node.row);
  }
  node.pick = pick;
  node.head.hidden = !strip.title;
  setText(node.head.children[0], strip.title);
  setText(node.head.children[1], strip.note);
  if (strip.title) node.setAttribute("aria-label", strip.title);
  const old = node.cards;
  node.cards = new Map(strip.cards.map((card) => [card.id, old.get(card.id) ?? drawCard(card, pick, makeImage)]));
  strip.cards.forEach((card) => fillCard(node.cards.get(card.id), card, strip));
  const nodes = [...node.cards.values()];
  placeCards(node.row, nodes.length ? nodes : [element("div", "empty", strip.note || "Nothing to show.")]);
  if (pick) {
    const tree = /** @type {Document | ShadowRoot} */ (node.getRootNode());
    const selected = strip.cards.findIndex((card) => card.selected);
    setTabStop(nodes, nodes.find((card) => card === tree.activeElement) ?? nodes[Math.max(selected, 0)]);
  }
  return node;
}

/**
 * Make one card of a strip the only one that the Tab key reaches. Arrow keys move the focus from it to others.
 * @param {Iterable<any>} cards
 * @param {any} stop
 */
function setTabStop(cards, stop) {
  for (const card of cards) card.tabIndex = card === stop ? 0 : -1;
}

/**
 * Draw the strips of a component one below the other, reusing existing sections.
 * @param {Host} root
 * @param {Strip[]} strips
 * @param {StripOptions} options
 * @returns {any[]} one section per strip
 */
function drawStrips(root, strips, options) {
  const old = new Map([...root.children].map((/** @type {HTMLElement} */ node) => [node.dataset.strip, node]));
  const sections = strips.map((strip) => drawStrip(old.get(strip.id), strip, options));
  const same =
    sections.length === root.children.length && sections.every((node, index) => root.children[index] === node);
  if (!same) root.replaceChildren(...sections);
  return sections;
}

/**
 * Move the focus along a strip with the arrow keys, Home and End, as in a toolbar.
 * @param {KeyboardEvent & {target: any}} event
 */
function moveFocus(event) {
  const card = event.target.closest?.("button.card");
  const next = {
    ArrowRight: card?.nextElementSibling,
    ArrowLeft: card?.previousElementSibling,
    Home: card?.parentElement.firstElementChild,
    End: card?.parentElement.lastElementChild,
  }[event.key];
  if (!next) return;
  setTabStop(next.parentElement.children, next);
  next.focus();
  event.preventDefault();
  event.stopPropagation();
}
