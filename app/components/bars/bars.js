// Horizontal bars. The texts of a labelled bar are beside it, those of an unlabelled bar above it.
function drawPart({ share, colour, hollow }) {
  const part = element("span", hollow ? "part hollow" : "part");
  part.style.setProperty("--share", share);
  part.style.setProperty("--colour", colour);
  return part;
}

function drawText({ text, colour }, coloured) {
  const node = element("span", coloured ? "text coloured" : "text", text);
  node.style.setProperty("--colour", colour);
  return node;
}

/** @param {ComponentArgs<{about: string, bars: {label: string, parts: {text: string, share: number, colour: string, hollow: boolean}[]}[]}>} args */
export default function ({ data, parentElement }) {
  /** @type {Host} */
  const root = parentElement.querySelector("[data-bars]");
  root.className = "bars";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", data.about);
  const rows = data.bars.map(({ label, parts }) => {
    const row = element("div", label ? "bar" : "bar alone");
    const track = element("div", "track");
    track.append(...parts.map(drawPart));
    const texts = element("div", "texts");
    texts.append(...parts.map((part) => drawText(part, !label)));
    if (label) {
      track.append(texts);
      row.append(element("span", "label", label), track);
    } else row.append(texts, track);
    return row;
  });
  root.replaceChildren(...rows);
}
