// What the live views of one browser tab share, at window.fpcLive. A drag changes it and every view repaints within
// the next frame; the server hears of it on release only.
//
//   live.view            {gamma, alpha, k} as the dials stand now, dragged or at rest
//   live.show({alpha})   moves some of them; views repaint, nothing is sent
//   live.type({alpha})   the same by a key: released after a pause without another
//   live.release({alpha})  moves some of them, and the dials send it to the server
//   live.held            whether a pointer or a key is at one of them: no answer of the server moves them meanwhile
//   live.answer          the server's last answer: {key, gamma, alpha, k, match, people}; key names the query and all
//                        other settings
//   live.grid            {key, matches, people} of all keep rates, once computed
//   live.match()         what to draw at the dialled keep rate: {indices, dCos, dEmd, swaps, survived}, or null while
//                        only the server can know (then a view keeps what it shows until the answer comes)
//   live.pair()          the chosen neighbour at the dialled keep rate: pair_data of transport.py and its row, or null where
//                        it is not (yet) known or the keep rate does not shortlist it
//   live.heat            {key, parts} of the heat maps that were last computed in the background; parts: {grids, top} by
//                        name, as ahead.heat says
//   live.progress        {key, done, total, error} of the grid
//   live.fed             by kind of background result, which one was taken last
//   live.person(row)     who a row of the memory shows: {image, tone, mark, line, about}
//   live.pictures        Map of image key -> data URI
//   live.follow(root, paint)  calls paint() in an animation frame after any change, as long as root stays in the page
//
// Scripts of components are modules of their own, so this file is put before each that needs it; the first one wins.
const PICTURES = 1000;
const KEY_PAUSE = 150; // ms after the last key press until the value counts as released

class Live extends EventTarget {
  view = {};
  held = false;
  answer = null;
  grid = null;
  pairs = null;
  heat = null;
  progress = null;
  fed = {};
  pictures = new Map();
  #frame = 0;
  #typing = 0;

  show(values) {
    Object.assign(this.view, values);
    this.changed();
  }

  type(values) {
    this.held = true;
    this.show(values);
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.release(), KEY_PAUSE);
  }

  release(values) {
    clearTimeout(this.#typing);
    this.held = false;
    this.show(values);
    this.dispatchEvent(new Event("release"));
  }

  changed() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.dispatchEvent(new Event("paint"));
    });
  }

  take(part) {
    Object.assign(this, part);
    this.changed();
  }

  addPictures(pictures) {
    for (const [key, source] of Object.entries(pictures)) {
      this.pictures.delete(key);
      this.pictures.set(key, source); // to the end: the oldest go first
    }
    for (const key of this.pictures.keys()) {
      if (this.pictures.size <= PICTURES) break;
      this.pictures.delete(key);
    }
    this.changed();
  }

  match() {
    if (!this.answer) return null;
    if (this.answer.gamma === this.view.gamma) return this.answer.match;
    return this.grid?.key === this.answer.key ? (this.grid.matches.get(this.view.gamma) ?? null) : null;
  }

  person(row) {
    return this.answer.people[row] ?? this.grid?.people[row];
  }

  pair() {
    if (!this.answer || this.pairs?.key !== this.answer.key) return null;
    return this.pairs.pairs.get(this.view.gamma) ?? null;
  }

  follow(root, paint) {
    root.paint = paint;
    if (root.following) return;
    root.following = () => root.paint();
    this.addEventListener("paint", root.following);
  }

  leave(root) {
    this.removeEventListener("paint", root.following);
    root.following = null;
  }
}

const live = (window.fpcLive ??= new Live());

function readMatch(plain) {
  return { ...plain, dCos: floats(plain.dCos), dEmd: floats(plain.dEmd) };
}

// Places in the shortlist, nearest first. Both distances are float32 and D is computed in float64, as the core does
// (matching/ranking.py); sort() is stable, so ties keep the order by cosine there and here.
function byDistance(match, alpha) {
  const d = combined(match, alpha);
  return [...d.keys()].sort((one, other) => d[one] - d[other]);
}

function combined(match, alpha) {
  return Float64Array.from(match.dCos, (cos, place) => (1 - alpha) * cos + alpha * match.dEmd[place]);
}
