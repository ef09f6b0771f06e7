// A heat map as a table of buttons. Texts are set as textContent and never parsed as markup.

function drawHead(data) {
  const head = element("thead");
  const axis = element("tr", "axis");
  axis.append(element("td"));
  const name = element("th", "", "keep rate γ");
  name.colSpan = data.columns.length;
  axis.append(name);
  const row = element("tr");
  const corner = element("th", "corner", "α");
  corner.setAttribute("aria-label", "alpha");
  row.append(corner);
  for (const column of data.columns) {
    const cell = element("th", column.note ? "partial" : "", column.name);
    cell.scope = "col";
    if (column.note) cell.append(element("span", "note", column.note));
    row.append(cell);
  }
  head.append(axis, row);
  return head;
}

function drawTile(tile, position, pick) {
  const cell = element("td");
  const button = element("button", `tile${tile.best ? " best" : ""}${tile.id ? "" : " unknown"}`, tile.text);
  button.type = "button";
  button.dataset.position = position;
  if (tile.id) button.dataset.cell = tile.id;
  button.setAttribute("aria-disabled", String(!tile.id));
  button.setAttribute("aria-label", tile.label);
  button.title = tile.label;
  button.tabIndex = -1; // The Tab key reaches only one button of the table. Arrow keys move between buttons.
  button.style.setProperty("--tone", tile.background || "transparent");
  button.style.setProperty("--ink", tile.foreground || "inherit");
  if (tile.id) button.addEventListener("click", () => pick(tile.id));
  cell.append(button);
  return cell;
}

function drawFoot(data) {
  const foot = element("tfoot");
  const row = element("tr");
  const name = element("th", "", "FLOPs");
  name.scope = "row";
  row.append(name);
  for (const column of data.columns) {
    const cell = element("td", "flops");
    const bar = element("div", "bar");
    bar.style.setProperty("--share", `${100 * column.share}%`);
    cell.append(bar, element("span", "", `${column.flops} G`));
    row.append(cell);
  }
  foot.append(row);
  return foot;
}

function drawScale(data) {
  const bar = colourBar(VIRIDIS);
  bar.set(data.label, data.worst, data.best);
  return bar.node;
}

const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

function moveFocus(event, root) {
  const step = STEPS[event.key];
  const position = event.target.dataset?.position;
  if (!step || !position) return;
  const [row, column] = position.split(",").map(Number);
  const next = root.querySelector(`[data-position="${row + step[0]},${column + step[1]}"]`);
  if (next) next.focus();
  event.preventDefault();
}

/** @param {ComponentArgs<any>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const root = parentElement.querySelector(".heatmap");
  const focused = /** @type {HTMLElement} */ (root.querySelector(":focus"))?.dataset.position;
  const current = /** @type {HTMLElement} */ (root.querySelector('[tabindex="0"]'))?.dataset.position;
  const scrolled = root.querySelector(".frame")?.scrollLeft ?? 0;
  const table = element("table");
  table.setAttribute("aria-label", data.label);
  const body = element("tbody");
  data.rows.forEach((name, row) => {
    const line = element("tr");
    const head = element("th", "", name);
    head.scope = "row";
    line.append(head);
    data.tiles[row].forEach((tile, column) => {
      line.append(drawTile(tile, `${row},${column}`, (id) => setTriggerValue("picked", id)));
    });
    body.append(line);
  });
  table.append(drawHead(data), body, drawFoot(data));
  const frame = element("div", "frame");
  frame.append(table);
  root.replaceChildren(frame, drawScale(data));
  frame.scrollLeft = scrolled;

  /** @type {(position?: string) => HTMLElement | null} */
  const at = (position) => position && root.querySelector(`[data-position="${position}"]`);
  /** @type {HTMLElement} */
  const stop = at(current) ?? root.querySelector(".tile.best") ?? root.querySelector(".tile");
  stop.tabIndex = 0;
  root.onfocusin = (event) => {
    if (!event.target.dataset.position) return;
    for (const tile of root.querySelectorAll("[tabindex='0']")) /** @type {HTMLElement} */ (tile).tabIndex = -1;
    event.target.tabIndex = 0;
  };
  root.onkeydown = (event) => moveFocus(event, root);
  at(focused)?.focus({ preventScroll: true });
}
