// Flows of a transport plan: their values, and how a flow is drawn. A pair is described in transport.js.

const MAX_FLOWS = 3000; // Maximum number of flows drawn at the same time.
const MIN_FLOW_SHARE = 0.02; // Flows below this share of the heaviest one would be invisible, so they are not drawn.

/**
 * Draw a flow as a line that is thicker and more opaque the more mass it moves.
 * @param {CanvasRenderingContext2D} context
 * @param {number[][]} ends [x, y] of both ends in CSS pixels
 * @param {number} weight mass of the flow relative to the heaviest one, 0..1
 * @param {(opacity: number) => string} colour returns the colour of the line
 * @param {string} halo colour around the line as "r, g, b"; empty for none
 */
function drawFlow(context, [[x, y], [toX, toY]], weight, colour, halo) {
  const line = (style, width) => {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(toX, toY);
    context.stroke();
  };
  if (halo) line(`rgba(${halo}, ${0.3 * weight})`, 1.8 + 4.4 * weight);
  line(colour(0.12 + 0.88 * weight), 0.6 + 4 * weight);
}

// Compute sums over patches once per pair, because every hover needs them.
function totals(pair, geometry) {
  const { plan, cost, kept } = pair;
  const count = geometry.count;
  const query = { mass: new Float64Array(count), emd: new Float64Array(count) };
  const gallery = { mass: new Float64Array(count), emd: new Float64Array(count) };
  const rowOf = new Int32Array(count).fill(-1);
  const targets = new Float32Array(2 * kept.length);
  kept.forEach((position, row) => {
    rowOf[position] = row;
    for (let column = 0, at = row * count; column < count; column += 1, at += 1) {
      const mass = plan[at];
      query.mass[position] += mass;
      query.emd[position] += mass * cost[at];
      gallery.mass[column] += mass;
      gallery.emd[column] += mass * cost[at];
      targets[2 * row] += mass * geometry.x(column);
      targets[2 * row + 1] += mass * geometry.y(column);
    }
    targets[2 * row] /= query.mass[position];
    targets[2 * row + 1] /= query.mass[position];
  });
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return { query, gallery, rowOf, targets, mass: sum(query.mass), emd: sum(query.emd) };
}

// Return the line below the images. The released solver moves no weight if no patch agrees with the other image.
function sumText({ mass, emd }, dEmd) {
  if (mass === 0)
    return `No patch of one image agrees with the other, so no weight moves and D_EMD is set to ${dEmd.toFixed(4)}`;
  return `Sum of all patch contributions ${emd.toFixed(4)} = D_EMD ${dEmd.toFixed(4)}`;
}

// Return the range of the pair's colour scale: from the minimum ground cost to the 99th percentile by mass.
function costRange({ plan, cost }, mass) {
  const bins = new Float64Array(400); // Bins over the range of 1 - cosine, which is 0..2.
  let low = 2;
  for (let at = 0; at < plan.length; at += 1) {
    if (plan[at] <= 0) continue;
    low = Math.min(low, cost[at]);
    bins[Math.min(Math.floor(cost[at] * 200), 399)] += plan[at];
  }
  let [high, reached] = [0, 0];
  while (high < 399 && reached + bins[high] < 0.99 * mass) reached += bins[high++];
  return [Math.min(low, 2), Math.max((high + 1) / 200, low + 0.005)];
}

// Return the indices of the heaviest flows, heaviest first. Sorting a typed array first finds the threshold quickly,
// which matters while the keep rate is dragged.
function heaviestFlows(plan) {
  const least = Float32Array.from(plan).sort()[Math.max(0, plan.length - MAX_FLOWS)];
  const indices = [];
  for (let at = 0; at < plan.length; at += 1) if (plan[at] >= least) indices.push(at);
  return indices.sort((a, b) => plan[b] - plan[a]).slice(0, MAX_FLOWS);
}
