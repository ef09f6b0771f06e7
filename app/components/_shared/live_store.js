// The state that the live views of one browser tab share, at window.fpcLive; docs/live_protocol.md tells its story. Each
// component's script is a module of its own, so this file is put before each that needs it, and the first copy wins.

/**
 * Keep rate, alpha and K as the sliders show them, dragged or at rest.
 * @typedef {{gamma?: number, alpha?: number, k?: number}} LiveView
 */
/**
 * What the strips, the masks and the alpha chart draw at one keep rate (`match_data` in live_payload.py).
 * @typedef {object} LiveMatch
 * @property {number[]} indices gallery rows of the shortlist, nearest by cosine first
 * @property {Float32Array} dCos D_cos of each
 * @property {Float32Array} dEmd D_EMD of each
 * @property {[number, number, number][]} swaps alpha, and the two shortlist positions that swap there
 * @property {number[]} survived per patch, how many dropping layers kept it
 */
/**
 * Who a gallery row shows.
 * @typedef {{image: string, tone: string, mark: string, line: string, about: string}} Person
 */
/**
 * The server's last answer; `key` names the query and all settings but gamma, alpha and K.
 * @typedef {LiveView & {key: string, match: LiveMatch, people: Record<string, Person>}} LiveAnswer
 */
/**
 * The results at all keep rates, computed in the background.
 * @typedef {{key: string, matches: Map<number, LiveMatch>, people: Record<string, Person>}} LiveGrid
 */

const MAX_IMAGES = 1000;
const KEY_PAUSE = 150; // ms after the last key press until the value counts as released

class LiveStore extends EventTarget {
  /** @type {LiveView} */
  view = {};
  isDragging = false; // by pointer or key; meanwhile no answer of the server moves a slider
  /** @type {LiveAnswer | null} */
  answer = null;
  /** @type {LiveGrid | null} */
  grid = null;
  /** @type {{key: string, pairs: Map<number, Pair & {row: number}>} | null} the chosen hit at all keep rates */
  pairs = null;
  /** @type {{key: string, parts: Record<string, HeatPart>} | null} the heat maps computed last */
  heat = null;
  /** @type {{key: string, done: number, total: number, error: string} | null} of the grid */
  progress = null;
  /** @type {Record<string, string>} which background result was received last, by kind */
  received = {};
  /** @type {Map<string, string>} data URI by image key */
  images = new Map();
  #frame = 0;
  #keyPause = 0;

  /**
   * Show other values; views repaint and nothing is sent.
   * @param {LiveView} values
   */
  preview(values) {
    Object.assign(this.view, values);
    this.changed();
  }

  /**
   * Preview values set by a key; they are committed after a pause without another key.
   * @param {LiveView} values
   */
  setFromKeyboard(values) {
    this.isDragging = true;
    this.preview(values);
    clearTimeout(this.#keyPause);
    this.#keyPause = setTimeout(() => this.commit(), KEY_PAUSE);
  }

  /**
   * Show other values, if given, and have the sliders send all of them to the server.
   * @param {LiveView} [values]
   */
  commit(values) {
    clearTimeout(this.#keyPause);
    this.isDragging = false;
    this.preview(values);
    this.dispatchEvent(new Event("commit"));
  }

  /** Repaint all views in the next frame. */
  changed() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.dispatchEvent(new Event("paint"));
    });
  }

  /**
   * Store something the server sent.
   * @param {Partial<Pick<LiveStore, "answer" | "grid" | "pairs" | "heat" | "progress">>} part
   */
  receive(part) {
    Object.assign(this, part);
    this.changed();
  }

  /** @param {Record<string, string>} images data URI by image key */
  addImages(images) {
    for (const [key, source] of Object.entries(images)) {
      this.images.delete(key);
      this.images.set(key, source); // to the end: the oldest go first
    }
    for (const key of this.images.keys()) {
      if (this.images.size <= MAX_IMAGES) break;
      this.images.delete(key);
    }
    this.changed();
  }

  /**
   * What to draw at the keep rate shown, or null while only the server can know: a view then keeps what it shows.
   * @returns {LiveMatch | null}
   */
  match() {
    if (!this.answer) return null;
    if (this.answer.gamma === this.view.gamma) return this.answer.match;
    return this.grid?.key === this.answer.key ? (this.grid.matches.get(this.view.gamma) ?? null) : null;
  }

  /**
   * @param {number} row of the gallery
   * @returns {Person}
   */
  person(row) {
    return this.answer.people[row] ?? this.grid?.people[row];
  }

  /**
   * The chosen hit at the keep rate shown, or null where it is not known (yet) or not shortlisted at that keep rate.
   * @returns {(Pair & {row: number}) | null}
   */
  pair() {
    if (!this.answer || this.pairs?.key !== this.answer.key) return null;
    return this.pairs.pairs.get(this.view.gamma) ?? null;
  }

  /**
   * Call paint() in an animation frame after any change, until unfollow(root).
   * @param {Host} root
   * @param {() => void} paint
   */
  follow(root, paint) {
    root.paint = paint;
    if (root.following) return;
    root.following = () => root.paint();
    this.addEventListener("paint", root.following);
  }

  /** @param {Host} root */
  unfollow(root) {
    this.removeEventListener("paint", root.following);
    root.following = null;
  }
}

/** @type {LiveStore} */
const live = window.fpcLive ?? new LiveStore();
window.fpcLive = live;

/**
 * @param {any} match `match_data` as sent: both distances are base64
 * @returns {LiveMatch}
 */
function decodeMatch(match) {
  return { ...match, dCos: decodeFloats(match.dCos), dEmd: decodeFloats(match.dEmd) };
}
