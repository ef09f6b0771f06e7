/**
 * Shortlist positions, nearest first. Both distances are float32 and D is computed in float64, as the core does
 * (matching/ranking.py); sort() is stable, so ties keep the order by cosine there and here.
 * @param {Pick<LiveMatch, "dCos" | "dEmd">} match
 * @param {number} alpha
 * @returns {number[]}
 */
function byDistance(match, alpha) {
  const d = combined(match, alpha);
  return [...d.keys()].sort((one, other) => d[one] - d[other]);
}

/**
 * D of every shortlist position (Eq. 10).
 * @param {Pick<LiveMatch, "dCos" | "dEmd">} match
 * @param {number} alpha
 */
function combined(match, alpha) {
  return Float64Array.from(match.dCos, (cos, position) => (1 - alpha) * cos + alpha * match.dEmd[position]);
}
