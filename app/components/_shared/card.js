// Drawing of image cards, shared by the components that show strips.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function drawCard(card, pick, picture) {
  const node = element(pick ? "button" : "figure");
  const frame = element("div", "frame");
  const caption = element("div", "caption");
  node.picture = picture();
  node.mark = element("span", "mark");
  node.tag = element("span", "tag");
  node.head = element("div", "title");
  node.lines = [];
  frame.append(node.picture, node.mark, node.tag);
  caption.append(node.head);
  node.append(frame, caption);
  if (pick) {
    node.type = "button";
    node.addEventListener("click", () => node.closest(".strip").pick(card.id));
  }
  return node;
}

// Brings a card up to date and leaves untouched what did not change.
function fillCard(node, card, strip) {
  const name = `card ${card.tone}${card.selected ? " selected" : ""}`;
  if (node.className !== name) node.className = name;
  node.dataset.card = `${strip.id}/${card.id}`;
  const about = card.alt || card.title;
  if (node.type === "button") {
    node.setAttribute("aria-pressed", String(card.selected));
    node.setAttribute("aria-label", about);
  }
  if (node.picture.tagName === "IMG") {
    if (card.source && node.source !== card.source) node.picture.src = node.source = card.source;
    node.picture.alt = about;
  } else {
    node.picture.setAttribute("aria-label", about);
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
    line.title = text;
  });
}

// Pixels from one card of a row to the next; all are equally wide. Measured again only where that may have changed,
// for measuring makes the browser lay out the page.
function pitch(row) {
  if (row.measured !== row.children.length) {
    row.measured = row.children.length;
    row.pitch = row.measured > 1 ? row.children[1].offsetLeft - row.children[0].offsetLeft : 0;
  }
  return row.pitch;
}

// Puts cards into a row in this order; those that stay glide to their new place, unless the visitor wants no motion.
function placeCards(row, nodes) {
  const before = new Map([...row.children].map((node, place) => [node, place]));
  if (nodes.length === before.size && nodes.every((node, place) => before.get(node) === place)) return;
  const glide = before.size > 0 && !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const focused = row.getRootNode().activeElement;
  const keep = new Set(nodes);
  for (const node of before.keys()) if (!keep.has(node)) node.remove();
  nodes.forEach((node, place) => {
    if (row.children[place] !== node) row.insertBefore(node, row.children[place] ?? null);
  });
  if (keep.has(focused) && row.getRootNode().activeElement !== focused) focused.focus({ preventScroll: true });
  if (!glide) return;
  // Shifts add up: a card sent elsewhere while it glides goes on from where it is.
  const options = { duration: 220, easing: "ease-out", composite: "add" };
  nodes.forEach((node, place) => {
    const from = before.get(node);
    if (from === undefined) node.animate([{ opacity: 0 }, { opacity: 1 }], { ...options, composite: "replace" });
    else if (from !== place)
      node.animate([{ transform: `translateX(${(from - place) * pitch(row)}px)` }, { transform: "translateX(0)" }], options);
  });
}

// Draws one strip into `node`, or a new section; cards are kept by their id, so what stays does not blink.
// options: pick(id) or none for figures; picture() makes the element inside the frame, an <img> if left out.
function drawStrip(node, strip, { pick = null, picture = () => element("img") } = {}) {
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
  node.cards = new Map(strip.cards.map((card) => [card.id, old.get(card.id) ?? drawCard(card, pick, picture)]));
  strip.cards.forEach((card) => fillCard(node.cards.get(card.id), card, strip));
  const nodes = [...node.cards.values()];
  placeCards(node.row, nodes.length ? nodes : [element("div", "empty", strip.note || "Nothing to show.")]);
  return node;
}

// Draws the strips of a component one below the other, keeping the sections that were there.
function drawStrips(root, strips, options) {
  const old = new Map([...root.children].map((node) => [node.dataset.strip, node]));
  const sections = strips.map((strip) => drawStrip(old.get(strip.id), strip, options));
  const same = sections.length === root.children.length && sections.every((node, place) => root.children[place] === node);
  if (!same) root.replaceChildren(...sections);
  return sections;
}

// Left and right walk along a strip, as in a toolbar.
function walk(event) {
  if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
  const card = event.target.closest?.("button.card");
  const next = event.key === "ArrowRight" ? card?.nextElementSibling : card?.previousElementSibling;
  if (!next) return;
  next.focus();
  event.preventDefault();
  event.stopPropagation();
}
