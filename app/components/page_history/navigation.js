// Follows clicks on page links: one entry in the browser's history for each, and no message that would undo it.
const NAVIGATION_MS = 15_000; // Longest time that a clicked page link blocks automatic messages.

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
    if (!this.pending) return false;
    const replaces = this.#halfway;
    this.#halfway = new URL(address, location.href).pathname === location.pathname;
    return replaces;
  }
}

if (!window.fpcNavigation) {
  const navigation = new Navigation();
  window.fpcNavigation = navigation;
  document.addEventListener("click", (event) => navigation.note(event), true);
  const push = history.pushState.bind(history);
  history.pushState = (state, unused, address) => {
    if (navigation.replaces(address)) history.replaceState(state, unused, address);
    else push(state, unused, address);
  };
}
