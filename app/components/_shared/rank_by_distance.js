/**
 * Return the shortlist positions ordered by D, nearest first. As in matching/ranking.py, both distances are float32, D
 * is computed in float64, and the sort is stable, so that ties keep the order by cosine.
 * @param {Pick<LiveMatch, "dCos" | "dEmd">} match
 * @param {number} alpha
 * @returns {number[]}
 */
function byDistance(match, alpha) {
  const d = combined(match, alpha);
  return [...d.keys()].sort((one, other) => d[one] - d[other]);
}

/**
 * Return D of every shortlist position (Eq. 10).
 * @param {Pick<LiveMatch, "dCos" | "dEmd">} match
 * @param {number} alpha
 */
function combined(match, alpha) {
  return Float64Array.from(match.dCos, (cos, position) => (1 - alpha) * cos + alpha * match.dEmd[position]);
}
