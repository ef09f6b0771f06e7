// One entry in the browser's history for each choice and each clicked page link, and no message that would undo a click.
const NAVIGATION_MS = 15_000; // Longest time that a clicked page link blocks automatic messages.
// Query parameters of a visitor's choices that Back undoes, with the prefix of a page or side, as in l_gamma.
const CHOICES = /^(\w+_)?(gamma|alpha|k|drop|variant|solver|epsilon|query|weights)$/;

/**
 * The page that a clicked link leads to, until the browser shows its address.
 *
 * A message between the click and the start of the new page would undo the click: Streamlit sends the old page with it,
 * and of two waiting requests the page of the newer one wins (`repeatUntilAnswered` in dom.js).
 *
 * Streamlit changes the address in two steps, first the query and then the path. Both would be entries of the history,
 * and Back would lead to the old page with the query of the new one.
 */
class Navigation {
  #target = "";
  #since = -Infinity;
  #halfway = false;
  #acted = false; // Whether the visitor has done something since the last change of the address.

  /**
   * Note that the visitor pressed something. The next change of the address is then an entry of the history. Further
   * ones until the visitor acts again belong to the same choice: a preset, for example, changes several parameters.
   */
  act() {
    this.#acted = true;
  }

  /** Note that Back or Forward was pressed. Corrections that the page makes afterwards do not add an entry. */
  goBackOrForward() {
    this.#acted = false;
  }

  /** @param {MouseEvent} event a click anywhere on the page */
  note(event) {
    const link = /** @type {Element} */ (event.target)?.closest?.("a[href]");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.getAttribute("target") === "_blank";
    if (!link || elsewhere) return;
    // The link to the first page has an empty path, which would mean the current page.
    const { origin, pathname } = new URL(link.getAttribute("href").replace(/^(?=$|\?)/, "./"), location.href);
    if (origin !== location.origin) return;
    [this.#target, this.#since, this.#halfway] = [pathname, performance.now(), false];
  }

  get pending() {
    return performance.now() - this.#since < NAVIGATION_MS && location.pathname !== this.#target;
  }

  /**
   * Whether a change of the address replaces the newest entry of the history instead of adding one.
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
   * Whether a change of the address that Streamlit makes without an entry of the history gets one, because the visitor
   * chose something with a widget.
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
  document.addEventListener("click", (event) => navigation.note(event), true);
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
