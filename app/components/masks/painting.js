// Patches that the visitor drops by hand. `survived` has the number of pruning layers that keep each patch. A stroke is
// drawn on the mask of one layer, given by its index, or on the query, which stands for all layers (ALL).

const ALL = -1;
const MAX_UNDO = 200; // Maximum number of strokes that can be undone.

/**
 * Return whether a patch is dropped in the mask of a layer, or in the last mask for ALL.
 * @param {number} survived number of layers that keep the patch
 * @param {number} layer
 * @param {number} layers number of pruning layers
 */
const isDroppedAt = (survived, layer, layers) => survived < (layer === ALL ? layers : layer + 1);

/**
 * Return how many layers keep a patch after the brush has dropped or kept it in the mask of a layer. Every mask contains
 * the later ones, so dropping a patch removes it from later masks too, and keeping it adds it to earlier masks too.
 * @param {number} survived
 * @param {number} layer
 * @param {boolean} drops
 * @param {number} layers
 */
function afterBrush(survived, layer, drops, layers) {
  if (layer === ALL) return drops ? 0 : layers;
  return drops ? Math.min(survived, layer) : Math.max(survived, layer + 1);
}

/**
 * Return the patches on the line between two patches, from the first to the last.
 * @param {number} from
 * @param {number} to
 * @param {number} columns number of columns of the patch grid
 */
function patchesBetween(from, to, columns) {
  const [fromRow, fromColumn, toRow, toColumn] = [from, to].flatMap((patch) => [
    Math.floor(patch / columns),
    patch % columns,
  ]);
  const steps = Math.max(Math.abs(toRow - fromRow), Math.abs(toColumn - fromColumn));
  const along = (start, end, step) => Math.round(start + ((end - start) * step) / (steps || 1));
  return Array.from(
    { length: steps + 1 },
    (_, step) => along(fromRow, toRow, step) * columns + along(fromColumn, toColumn, step),
  );
}

/** The visitor's choice of patches, the stroke that is being drawn, and the undo history. */
class Painting {
  /** @type {number[] | null} number of layers that keep each patch; null while the model chooses */
  survived = null;
  /** @type {number[][]} earlier states that can be restored, the oldest first */
  history = [];
  /** @type {{layer: number, drops: boolean, last: number, before: number[]} | null} */
  stroke = null;

  /** @param {number} layers number of pruning layers */
  constructor(layers) {
    this.layers = layers;
  }

  /**
   * Start with the model's choice.
   * @param {number[]} survived
   */
  start(survived) {
    this.survived = [...survived];
    this.history = [];
  }

  /** Let the model choose again. */
  stop() {
    this.survived = this.stroke = null;
    this.history = [];
  }

  /**
   * Replace the choice of all patches. This can be undone.
   * @param {number[]} survived
   * @returns {boolean} whether a patch has changed
   */
  replace(survived) {
    if (survived.every((count, patch) => count === this.survived[patch])) return false;
    this.remember(this.survived);
    this.survived = [...survived];
    return true;
  }

  /**
   * Begin a stroke. It drops patches if the first patch is kept in the mask of the layer, and otherwise keeps them.
   * @param {number} patch
   * @param {number} layer
   */
  begin(patch, layer) {
    const drops = !isDroppedAt(this.survived[patch], layer, this.layers);
    this.stroke = { layer, drops, last: patch, before: this.survived };
    this.survived = [...this.survived];
    this.brush(patch);
  }

  /**
   * Continue the stroke to a patch.
   * @param {number} patch
   * @param {number} columns
   */
  extend(patch, columns) {
    if (!this.stroke) return;
    for (const each of patchesBetween(this.stroke.last, patch, columns)) this.brush(each);
    this.stroke.last = patch;
  }

  brush(patch) {
    const { layer, drops } = this.stroke;
    const count = afterBrush(this.survived[patch], layer, drops, this.layers);
    const kept = this.survived.filter((each) => each === this.layers).length;
    const isLast = kept === 1 && this.survived[patch] === this.layers && count < this.layers;
    if (!isLast) this.survived[patch] = count; // The encoder needs at least one patch.
  }

  /**
   * End the stroke.
   * @returns {boolean} whether a patch has changed
   */
  end() {
    const { before } = this.stroke;
    this.stroke = null;
    const changed = this.survived.some((count, patch) => count !== before[patch]);
    if (changed) this.remember(before);
    return changed;
  }

  /** Discard the stroke. */
  cancel() {
    this.survived = this.stroke?.before ?? this.survived;
    this.stroke = null;
  }

  /**
   * Undo the last change.
   * @returns {boolean} whether there was a change to undo
   */
  undo() {
    if (this.stroke || !this.history.length) return false;
    this.survived = this.history.pop();
    return true;
  }

  remember(survived) {
    this.history.push(survived);
    if (this.history.length > MAX_UNDO) this.history.shift();
  }
}
