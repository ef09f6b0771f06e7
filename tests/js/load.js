import { readFileSync } from "node:fs";
import vm from "node:vm";

const COMPONENTS = new URL("../../app/components/", import.meta.url);

class FakeDom {
  addEventListener() {}
  dispatchEvent() {}
}

/**
 * Run scripts of app/components one after another in the same scope, as if `source()` had joined them.
 * @param {string[]} files paths relative to app/components
 * @param {string[]} names names of functions, classes, constants and globals to return
 * @returns {Record<string, any>} the values by name
 */
export function load(files, names) {
  const window = Object.assign(new FakeDom(), { innerHeight: 800 });
  const entries = ["/"];
  const history = {
    entries,
    pushState: (_state, _unused, address) => entries.push(address),
    replaceState: (_state, _unused, address) => entries.splice(-1, 1, address),
  };
  const context = vm.createContext({
    window,
    history,
    document: new FakeDom(),
    location: { href: "http://app/", origin: "http://app", pathname: "/" }, // Not changed by `history`.
    performance: { now: () => 0 },
    EventTarget: FakeDom,
    Event,
    URL,
    atob,
    requestAnimationFrame: () => 1,
    setTimeout: () => 0,
  });
  for (const file of files) {
    const text = readFileSync(new URL(file, COMPONENTS), "utf8");
    vm.runInContext(text.replace("export default function", "function component"), context, { filename: file });
  }
  return vm.runInContext(`({ ${names.join(", ")} })`, context);
}

/**
 * Return a copy with the prototypes of this realm, because `assert.deepEqual` compares prototypes.
 * @param {any} value
 */
export const plain = (value) => JSON.parse(JSON.stringify(value));
