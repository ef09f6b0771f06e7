// Functions that draw a scene as SVG in pixels of the image. Textures, shading and clipping match
// fpc_core/data/occluder_rendering.py.
const HANDLE_RADIUS = 6; // Radius of a handle in CSS pixels.
const HANDLE_REACH = 16; // Radius in CSS pixels within which the pointer can drag a handle.
const ICONS = {
  rectangle: "M2 4h12v8H2z",
  pole: "M6 1h4v14H6z",
  texture: "M1 3h14v10H1zM1 8h14M6 3v5M11 8v5",
  cut_out: "M8 7a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 15c0-4 2-6 5-6s5 2 5 6",
  stroke: "M2 13c3-6 4 2 6-3s4-7 6-8",
  undo: "M6 3L2 7l4 4M2 7h8a4 4 0 0 1 0 8H8",
  redo: "M10 3l4 4-4 4M14 7H6a4 4 0 0 0 0 8h2",
  forward: "M8 13V3M4 7l4-4 4 4",
  back: "M8 3v10M4 9l4 4 4-4",
  remove: "M3 4h10M6 4V2h4v2M5 4l1 10h4l1-10",
};

function button(name, text, click) {
  const node = element("button");
  node.type = "button";
  node.dataset.act = name;
  if (ICONS[name]) {
    const icon = svgElement("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    icon.append(svgElement("path", { d: ICONS[name] }));
    node.append(icon);
  }
  node.append(element("span", "", text));
  node.addEventListener("click", click);
  return node;
}

/**
 * Create a toolbar.
 * @param {string} name label for screen readers
 * @param {Element[]} nodes
 */
function makeToolbar(name, nodes) {
  const bar = element("div", "bar");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", name);
  bar.append(...nodes);
  return bar;
}

function labelInput(text, input) {
  const label = element("label");
  label.append(element("span", "about", text), input);
  return label;
}

// Create the SVG definitions that shapes use: a clipping path of the image and a pattern for each texture.
function makeDefinitions([width, height], { tiles, tileWidth }) {
  const clip = svgElement("clipPath", { id: "image" });
  clip.append(svgElement("rect", { width, height }));
  const side = tileWidth * width;
  const patterns = Object.entries(tiles).map(([name, href]) => {
    const pattern = svgElement("pattern", {
      id: `tile-${name}`,
      width: side,
      height: side,
      patternUnits: "userSpaceOnUse",
    });
    pattern.append(svgElement("image", { href, width: side, height: side, style: "image-rendering: pixelated" }));
    return pattern;
  });
  return [clip, ...patterns];
}

// Update the group of a shape. The origin of the group is the upper left corner of the shape.
function fillShape(node, shape, [across, down], { pictures, shade }) {
  const picture = shape.kind === "cut_out" ? pictures[`${shape.path}|${shape.outline}`] : undefined;
  const signature = `${node.dataset.shape} ${JSON.stringify(shape)} ${picture?.length}`;
  if (node.signature === signature) return;
  node.signature = signature;
  if (shape.kind === "stroke") {
    const [first, ...rest] = shape.points.map(([x, y]) => `${x * across} ${y * down}`);
    const d = `M${first}L${(rest.length ? rest : [first]).join("L")}`;
    const pen = { "stroke-width": shape.width * across, "stroke-linecap": "round", "stroke-linejoin": "round" };
    node.removeAttribute("transform");
    node.replaceChildren(svgElement("path", { d, fill: "none", stroke: shape.colour, ...pen }));
    return;
  }
  const [width, height] = [shape.width * across, shape.height * down];
  const corner = `translate(${-width / 2} ${-height / 2})`;
  node.setAttribute(
    "transform",
    `translate(${shape.x * across} ${shape.y * down}) rotate(${shape.rotation}) ${corner}`,
  );
  const body = svgElement("rect", { width, height, fill: shape.colour });
  if (shape.kind === "texture") body.setAttribute("fill", `url(#tile-${shape.texture})`);
  if (shape.kind === "pole") {
    body.setAttribute("fill", `url(#pole-${node.dataset.shape})`);
    return node.replaceChildren(poleGradient(`pole-${node.dataset.shape}`, shape.colour, shade), body);
  }
  if (shape.kind !== "cut_out") return node.replaceChildren(body);
  // The server sends a missing image with its next response.
  body.setAttribute("fill", picture ? "transparent" : "rgba(128, 128, 128, 0.5)");
  const image = svgElement("image", {
    width,
    height,
    preserveAspectRatio: "none",
    ...(picture ? { href: picture } : {}),
  });
  if (shape.mirrored) image.setAttribute("transform", `translate(${width} 0) scale(-1 1)`);
  node.replaceChildren(body, image);
}

function poleGradient(id, colour, shade) {
  const gradient = svgElement("linearGradient", { id });
  const parts = [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));
  shade.forEach((light, stop) => {
    const lit = parts.map((part) => Math.min(255, Math.round(part * light))).join(" ");
    gradient.append(svgElement("stop", { offset: stop / (shade.length - 1), "stop-color": `rgb(${lit})` }));
  });
  return gradient;
}

// Draw the frame of the selected shape with handles at its corners and one for rotation. Without a shape, remove them.
// `displayWidth` is the width of the image on the screen in CSS pixels.
function drawHandles(over, shape, [across, down], displayWidth, focused) {
  if (!shape) return over.replaceChildren();
  const box = boxOf(shape);
  const scale = across / (displayWidth || across);
  const margin = shape.kind === "stroke" ? shape.width * across : 0;
  const [width, height] = [box.width * across + margin, box.height * down + margin];
  over.setAttribute("transform", `translate(${box.x * across} ${box.y * down}) rotate(${box.rotation})`);
  const turn = -height / 2 - 22 * scale;
  const nodes = [];
  for (const name of ["frame under", focused ? "frame focused" : "frame"]) {
    nodes.push(svgElement("rect", { x: -width / 2, y: -height / 2, width, height, class: name }));
    nodes.push(svgElement("path", { class: name, d: `M0 ${-height / 2}V${turn}` }));
  }
  const corners = { nw: [-1, -1], ne: [1, -1], se: [1, 1], sw: [-1, 1] };
  const handles = Object.entries(corners).map(([name, [sx, sy]]) => [name, (sx * width) / 2, (sy * height) / 2]);
  for (const [name, cx, cy] of [...handles, ["turn", 0, turn]]) {
    const reach = svgElement("circle", { cx, cy, r: HANDLE_REACH * scale, class: `reach ${name}` });
    reach.dataset.handle = name;
    nodes.push(svgElement("circle", { cx, cy, r: HANDLE_RADIUS * scale, class: "handle" }), reach);
  }
  over.replaceChildren(...nodes);
}
