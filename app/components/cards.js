// Text reaches the page as textContent and pictures as image sources; nothing here parses markup.
function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function drawCard(card, strip, data, pick) {
  const node = element(data.clickable ? "button" : "figure", `card ${card.tone}${card.selected ? " selected" : ""}`);
  node.dataset.card = `${strip.id}/${card.id}`;
  if (data.clickable) {
    node.type = "button";
    node.setAttribute("aria-pressed", String(card.selected));
    node.setAttribute("aria-label", card.alt || card.title);
    node.addEventListener("click", () => pick(card.id));
  }
  const frame = element("div", "frame");
  const image = element("img");
  image.src = data.pictures[card.image];
  image.alt = card.alt || card.title;
  frame.append(image);
  if (card.mark) frame.append(element("span", "mark", card.mark));
  if (card.tag) frame.append(element("span", "tag", card.tag));
  const caption = element("div", "caption");
  caption.append(element("div", "title", card.title));
  for (const text of card.lines) {
    const line = element("div", "line", text);
    line.title = text;
    caption.append(line);
  }
  node.append(frame, caption);
  return node;
}

function drawScale(scale) {
  const node = element("div", "scale");
  node.append(element("span", "", scale.label), element("span", "", scale.low), element("span", "bar"));
  node.append(element("span", "", scale.high));
  return node;
}

function drawStrip(strip, data, pick) {
  const node = element("section", "strip");
  node.dataset.strip = strip.id;
  if (strip.title) {
    const head = element("div", "head");
    head.append(element("span", "title", strip.title), element("span", "note", strip.note));
    node.append(head);
    node.setAttribute("aria-label", strip.title);
  }
  const row = element("div", "row");
  row.append(...strip.cards.map((card) => drawCard(card, strip, data, pick)));
  if (!strip.cards.length) row.append(element("div", "empty", strip.note || "Nothing to show."));
  node.append(row);
  if (strip.scale) node.append(drawScale(strip.scale));
  return node;
}

// Left and right walk along a strip, as in a toolbar.
function walk(event) {
  if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
  const card = event.target.closest?.("button.card");
  const next = event.key === "ArrowRight" ? card?.nextElementSibling : card?.previousElementSibling;
  if (!next) return;
  next.focus();
  event.preventDefault();
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".strips");
  const focused = root.querySelector(":focus")?.dataset.card;
  const scrolled = new Map([...root.querySelectorAll(".strip")].map((s) => [s.dataset.strip, s.querySelector(".row").scrollLeft]));
  root.style.setProperty("--card", `${data.width}px`);
  root.onkeydown = walk;
  root.replaceChildren(...data.strips.map((strip) => drawStrip(strip, data, (id) => setTriggerValue("picked", id))));
  for (const strip of root.querySelectorAll(".strip")) {
    strip.querySelector(".row").scrollLeft = scrolled.get(strip.dataset.strip) ?? 0;
  }
  if (focused) [...root.querySelectorAll("button.card")].find((card) => card.dataset.card === focused)?.focus({ preventScroll: true });
}
