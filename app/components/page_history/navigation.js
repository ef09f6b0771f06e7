// Gives each choice and each clicked page link one entry in the browser's history, and prevents messages that would undo
// a click.
const NAVIGATION_MS = 15_000; // Longest time that a clicked page link blocks automatic messages.
// Matches the query parameters of choices that Back undoes, with or without the prefix of a page or side, as in l_gamma.
const CHOICES = /^(\w+_)?(gamma|alpha|k|drop|variant|solver|epsilon|query|weights)$/;

/**
 * The page that a clicked link leads to, until the browser shows its address.
 *
 * A message between the click and the start of the new page would undo the click: it names the old page, and of two
 * waiting requests Streamlit runs the page of the newer one. See `repeatUntilAnswered` in dom.js.
 *
 * Streamlit changes the address in two steps, first the query and then the path. With a history entry for each step,
 * Back would lead to the old page with the query of the new one.
 */
class Navigation {
  #target = "";
  #since = -Infinity;
  #halfway = false;
  #acted = false; // Whether the visitor has acted (see `act`) since the last change of the address.

  /**
   * Record that the visitor pressed a key or the pointer, dropped or pasted something. The next change of the address
   * becomes an entry of the history. Further changes before the next action belong to the same choice, because, for
   * example, a preset changes several parameters.
   */
  act() {
    this.#acted = true;
  }

  /** Record that Back or Forward was pressed. Changes that the page makes in response do not add an entry. */
  goBackOrForward() {
    this.#acted = false;
  }

  /**
   * Record the target of a clicked page link.
   * @param {MouseEvent} event a click anywhere on the page
   */
  recordClick(event) {
    const link = /** @type {Element} */ (event.target)?.closest?.("a[href]");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.getAttribute("target") === "_blank";
    if (!link || elsewhere) return;
    // The link to the first page has an empty path, which would mean the current page.
    const { origin, pathname } = new URL(link.getAttribute("href").replace(/^(?=$|\?)/, "./"), location.href);
    if (origin !== location.origin) return;
    [this.#target, this.#since, this.#halfway] = [pathname, performance.now(), false];
  }

  /** Whether a clicked link has not opened its page yet. */
  get pending() {
    return performance.now() - this.#since < NAVIGATION_MS && location.pathname !== this.#target;
  }

  /**
   * Return whether a change of the address replaces the newest entry of the history instead of adding one.
   * @param {string | URL} address
   */
  replaces(address) {
    const replacesAgain = !this.#acted;
    this.#acted = false;
    if (!this.pending) return replacesAgain;
    const replaces = this.#halfway;
    this.#halfway = new URL(address, location.href).pathname === location.pathname;
    return replaces;
  }

  /**
   * Return whether to add an entry of the history for a change of the address for which Streamlit adds none. This is so
   * if the visitor has made a choice with a widget.
   * @param {string | URL} address
   */
  adds(address) {
    if (!this.#acted || this.pending) return false;
    const [before, after] = [new URL(location.href), new URL(address, location.href)].map((url) => url.searchParams);
    const names = [...new Set([...before.keys(), ...after.keys()])];
    const changed = names.filter((name) => before.getAll(name).join() !== after.getAll(name).join());
    if (!changed.some((name) => CHOICES.test(name))) return false;
    this.#acted = false;
    return true;
  }
}

if (!window.fpcNavigation) {
  const navigation = new Navigation();
  window.fpcNavigation = navigation;
  document.addEventListener("click", (event) => navigation.recordClick(event), true);
  for (const name of ["pointerdown", "keydown", "drop", "paste"])
    document.addEventListener(name, () => navigation.act(), true);
  window.addEventListener("popstate", () => navigation.goBackOrForward());
  const [push, replace] = [history.pushState.bind(history), history.replaceState.bind(history)];
  history.pushState = (state, unused, address) => {
    (navigation.replaces(address) ? replace : push)(state, unused, address);
  };
  history.replaceState = (state, unused, address) => {
    (navigation.adds(address) ? push : replace)(state, unused, address);
  };
}
