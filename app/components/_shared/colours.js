// Colours of heat maps and of the picked patch, and the colour bar. Components that colour values include this file
// after dom.js.

const PICKED = "#ffb000"; // Ring around a picked patch, and line around dropped patches.

const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4989",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
];

/**
 * Return 256 [r, g, b] colours, interpolated between evenly spaced ones.
 * @param {string[]} colours colours in the form #rrggbb
 * @returns {number[][]}
 */
function ramp(colours) {
  const stops = colours.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, step) => {
    const at = (step / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((value, channel) => Math.round(value + (at - low) * (stops[low + 1][channel] - value)));
  });
}

const VIRIDIS_RAMP = ramp(VIRIDIS);

/**
 * Return a colour of a ramp as CSS.
 * @param {number[][]} colours result of `ramp`
 * @param {number} share position in the ramp, clipped to 0..1
 * @param {number} [opacity]
 */
function shade(colours, share, opacity = 1) {
  const [r, g, b] = colours[Math.round(255 * Math.min(Math.max(share, 0), 1))];
  return `rgba(${r}, ${g}, ${b}, ${opacity})`;
}

// Colours of a signed map: orange above 0, purple below 0 (ColorBrewer PuOr, safe for colour-blind readers). At 0 only
// the image is visible.
const [ORANGE, PURPLE] = ["230, 97, 1", "94, 60, 153"];
const STRONGEST = 0.88; // Opacity of the strongest colour in a signed map.

/**
 * Return the colour of a value in a signed map.
 * @param {number} value
 * @param {number} top largest absolute value of the map
 */
const signedColour = (value, top) =>
  `rgba(${value < 0 ? PURPLE : ORANGE}, ${top ? (STRONGEST * Math.abs(value)) / top : 0})`;

function signedBar() {
  return colourBar([signedColour(-1, 1), `rgba(${PURPLE}, 0) 50%`, `rgba(${ORANGE}, 0) 50%`, signedColour(1, 1)]);
}

/**
 * Create a colour bar with a label and the values of its two ends. On a narrow screen the line may break after the
 * label, but not between the bar and its ends.
 * @param {string[]} stops CSS colours from left to right
 */
function colourBar(stops) {
  const [label, low, bar, high] = ["label", "low", "bar", "high"].map((name) => element("span", name));
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const ends = element("span", "ends");
  ends.append(low, bar, high);
  const node = element("div", "scale");
  node.append(label, ends);
  return {
    node,
    set: (/** @type {string[]} */ ...texts) => [label, low, high].forEach((part, at) => (part.textContent = texts[at])),
  };
}
