// The state that all live views of a browser tab share, in window.fpcLive; docs/live_protocol.md describes it. The
// script of each component is a separate module, so every module that needs this file contains a copy of it. The first
// copy that runs creates the state.

/**
 * Keep rate, alpha and K that the sliders currently show.
 * @typedef {{gamma?: number, alpha?: number, k?: number}} LiveView
 */
/**
 * Data of strips, masks and alpha chart at one keep rate (`match_data` in live_payload.py).
 * @typedef {object} LiveMatch
 * @property {number[]} indices gallery rows of the shortlist, nearest by cosine first
 * @property {Float32Array} dCos D_cos of each shortlisted image
 * @property {Float32Array} dEmd D_EMD of each shortlisted image
 * @property {[number, number, number][]} swaps alpha and the two shortlist positions that swap ranks at this alpha
 * @property {number[]} survived number of dropping layers that kept each patch
 */
/**
 * Texts about the person in a gallery row.
 * @typedef {{image: string, tone: string, mark: string, line: string, about: string}} Person
 */
/**
 * The server's last answer; `key` identifies the query and all settings except gamma, alpha and K.
 * If `byHand` is true, the visitor has chosen the dropped patches, so the keep rate does not change the result.
 * @typedef {LiveView & {key: string, byHand?: boolean, match: LiveMatch, people: Record<string, Person>}} LiveAnswer
 */
/**
 * The results at all keep rates, computed in the background.
 * @typedef {{key: string, matches: Map<number, LiveMatch>, people: Record<string, Person>}} LiveGrid
 */

const MAX_IMAGES = 1000; // Maximum number of images that the browser stores.
const KEY_PAUSE = 150; // Milliseconds after the last key press until a value counts as released.

class LiveStore extends EventTarget {
  /** @type {LiveView} */
  view = {};
  isDragging = false; // Whether a slider is being changed by pointer or key. The server then must not move sliders.
  /** @type {LiveAnswer | null} */
  answer = null;
  /** @type {LiveGrid | null} */
  grid = null;
  /** @type {{key: string, pairs: Map<number, Pair & {row: number}>} | null} transport plans of the selected hit by keep rate */
  pairs = null;
  /** @type {{key: string, parts: Record<string, HeatPart>} | null} the latest heat maps */
  heat = null;
  /** @type {{key: string, done: number, total: number, error: string} | null} progress of `grid` */
  progress = null;
  /** @type {Record<string, string>} key of the latest background result, by kind */
  received = {};
  /** @type {Map<string, string>} data URI by image key */
  images = new Map();
  #frame = 0;
  #keyPause = 0;

  /**
   * Change values and repaint the views, without informing the server.
   * @param {LiveView} values
   */
  preview(values) {
    Object.assign(this.view, values);
    this.changed();
  }

  /**
   * Preview values that were set by a key press. They are committed if no other key press follows soon.
   * @param {LiveView} values
   */
  setFromKeyboard(values) {
    this.isDragging = true;
    this.preview(values);
    clearTimeout(this.#keyPause);
    this.#keyPause = setTimeout(() => this.commit(), KEY_PAUSE);
  }

  /**
   * Change the given values, if any, and make the sliders send all values to the server.
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
   * Store data that the server has sent, and repaint the views.
   * @param {Partial<Pick<LiveStore, "answer" | "grid" | "pairs" | "heat" | "progress">>} part
   */
  receive(part) {
    Object.assign(this, part);
    this.changed();
  }

  /**
   * Store images, deleting the oldest if there are more than `MAX_IMAGES`.
   * @param {Record<string, string>} images data URI by image key
   */
  addImages(images) {
    for (const [key, source] of Object.entries(images)) {
      this.images.delete(key);
      this.images.set(key, source); // Inserted last, because the first images are deleted first.
    }
    for (const key of this.images.keys()) {
      if (this.images.size <= MAX_IMAGES) break;
      this.images.delete(key);
    }
    this.changed();
  }

  /**
   * Return the data for the keep rate that the slider shows, or null if the browser does not have it. In that case
   * views do not change. Before the sliders are mounted, the result is null too.
   * @returns {LiveMatch | null}
   */
  match() {
    if (!this.answer || this.view.gamma === undefined) return null;
    if (this.answer.byHand || this.answer.gamma === this.view.gamma) return this.answer.match;
    return this.grid?.key === this.answer.key ? (this.grid.matches.get(this.view.gamma) ?? null) : null;
  }

  /**
   * Return the texts about the person in a gallery row.
   * @param {number} row
   * @returns {Person}
   */
  person(row) {
    return this.answer.people[row] ?? this.grid?.people[row];
  }

  /**
   * Return the transport plan of the selected hit at the keep rate that the slider shows, or null if it is not computed
   * yet or the hit is not shortlisted at this keep rate.
   * @returns {(Pair & {row: number}) | null}
   */
  pair() {
    if (!this.answer || this.pairs?.key !== this.answer.key) return null;
    return this.pairs.pairs.get(this.view.gamma) ?? null;
  }

  /**
   * Call `paint` in an animation frame after every change, until `unfollow(root)` is called.
   * @param {Host} root
   * @param {() => void} paint
   */
  follow(root, paint) {
    root.paint = paint;
    if (root.following) return;
    root.following = () => root.paint();
    this.addEventListener("paint", root.following);
  }

  /**
   * Stop the calls that `follow(root)` has started.
   * @param {Host} root
   */
  unfollow(root) {
    this.removeEventListener("paint", root.following);
    root.following = null;
  }
}

/** @type {LiveStore} */
const live = window.fpcLive ?? new LiveStore();
window.fpcLive = live;

/**
 * Decode the distances of a match.
 * @param {any} match `match_data` as sent by the server, with both distances in base64
 * @returns {LiveMatch}
 */
function decodeMatch(match) {
  return { ...match, dCos: decodeFloats(match.dCos), dEmd: decodeFloats(match.dEmd) };
}
