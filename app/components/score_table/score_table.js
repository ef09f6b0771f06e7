// A table of scores. Texts are set as textContent and never parsed as markup.

function drawHead(data) {
  const head = element("thead");
  const over = element("tr", "groups");
  const corner = element("td");
  corner.colSpan = data.labels.length;
  over.append(corner);
  for (const group of data.groups) {
    const cell = element("th", `group ${group.source}`, group.text);
    cell.colSpan = group.span;
    cell.scope = "colgroup";
    over.append(cell);
  }
  over.append(element("td"));
  const row = element("tr");
  for (const name of data.labels) {
    const cell = element("th", "label", name);
    cell.scope = "col";
    row.append(cell);
  }
  data.heads.forEach(([name, source], index) => {
    const cell = element("th", `${source}${firstOfGroup(data, index) ? " first" : ""}`, name);
    cell.scope = "col";
    row.append(cell);
  });
  row.append(element("td"));
  head.append(over, row);
  return head;
}

function firstOfGroup(data, index) {
  let at = 0;
  for (const group of data.groups) {
    if (at === index) return true;
    at += group.span;
  }
  return false;
}

function drawBar(cell) {
  const bar = element("span", "bar");
  ["--low", "--at", "--high"].forEach((name, index) => bar.style.setProperty(name, `${100 * cell.bar[index]}%`));
  bar.append(element("span", "range"), element("span", "dot"));
  bar.setAttribute("aria-hidden", "true");
  return bar;
}

function drawCell(cell, first) {
  const node = element("td", `${cell.source}${first ? " first" : ""}${cell.note ? " partial" : ""}`);
  node.append(element("span", "value", cell.text));
  if (cell.interval) node.append(element("span", "interval", cell.interval));
  if (cell.note) node.append(element("span", "interval", cell.note));
  if (cell.bar.length) node.append(drawBar(cell));
  return node;
}

function drawRow(data, row, pick) {
  const line = element("tr", row.ruled ? "ruled" : "");
  row.labels.forEach((text, index) => {
    const cell = element("th", "label", text);
    if (index === 0) cell.scope = "row";
    line.append(cell);
  });
  row.cells.forEach((cell, index) => line.append(drawCell(cell, firstOfGroup(data, index))));
  const last = element("td", "recipe");
  if (row.pick) {
    const button = element("button", "", "recipe");
    button.type = "button";
    button.dataset.pick = row.pick;
    button.setAttribute("aria-label", `recipe of ${row.labels.join(" ")}`);
    button.addEventListener("click", () => pick(row.pick));
    last.append(button);
  }
  line.append(last);
  return line;
}

/** @param {ComponentArgs<any>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".scores");
  const focused = /** @type {HTMLElement} */ (root.querySelector(":focus"))?.dataset.pick;
  const scrolled = root.querySelector(".frame")?.scrollLeft ?? 0;
  const table = element("table");
  table.setAttribute("aria-label", data.label);
  const body = element("tbody");
  for (const row of data.rows) body.append(drawRow(data, row, (id) => setTriggerValue("picked", id)));
  table.append(drawHead(data), body);
  const frame = element("div", "frame");
  frame.append(table);
  root.replaceChildren(frame);
  if (data.scale) root.append(element("div", "about", data.scale));
  frame.scrollLeft = scrolled;
  if (!focused) return;
  /** @type {HTMLElement} */ (root.querySelector(`[data-pick="${CSS.escape(focused)}"]`))?.focus({
    preventScroll: true,
  });
}
