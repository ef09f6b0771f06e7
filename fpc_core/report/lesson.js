// Turn the pages of the lesson with buttons, keys and the URL, and show the answer to a question after a choice.
const pages = [...document.querySelectorAll(".step, #facts")];
document.documentElement.classList.add("paged-root");
document.body.classList.add("paged");
/** @type {NodeListOf<any>} */
const hosts = document.querySelectorAll("[data-stepper]");
for (const host of hosts) {
  host.view = new SinkhornStepper(host);
  host.view.show(JSON.parse(host.nextElementSibling.textContent));
}

let at = 0;
function turn(to, updateAddress = true) {
  at = Math.min(Math.max(to, 0), pages.length - 1);
  pages.forEach((page, index) => page.classList.toggle("now", index === at));
  /** @type {HTMLButtonElement} */ (document.getElementById("back")).disabled = at === 0;
  /** @type {HTMLButtonElement} */ (document.getElementById("next")).disabled = at === pages.length - 1;
  document.getElementById("where").textContent = at < pages.length - 1 ? `${at + 1} of ${pages.length - 1}` : "about";
  if (updateAddress) history.replaceState(null, "", `#${pages[at].id}`);
  window.scrollTo(0, 0);
}

document.getElementById("back").addEventListener("click", () => turn(at - 1));
document.getElementById("next").addEventListener("click", () => turn(at + 1));
document.addEventListener("keydown", (event) => {
  if (/** @type {Element} */ (event.target).tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey)
    return;
  const steps = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
  /** @type {NodeListOf<HTMLButtonElement>} */
  const choices = pages[at].querySelectorAll(".choices[data-answer] button");
  const choice = choices[Number(event.key) - 1];
  if (event.key in steps) turn(at + steps[event.key]);
  else if (choice) choice.click();
  else return;
  event.preventDefault();
});
/** @type {NodeListOf<any>} */
const questions = document.querySelectorAll(".choices[data-answer]");
for (const choices of questions) {
  const buttons = [...choices.children];
  const answer = Number(choices.dataset.answer);
  buttons.forEach((button, index) =>
    button.addEventListener("click", () => {
      for (const other of buttons) other.disabled = true;
      buttons[answer].classList.add("right");
      buttons[answer].append(" ✓");
      if (index !== answer) {
        button.classList.add("wrong");
        button.append(" ✗");
      }
      choices.nextElementSibling.hidden = false;
    }),
  );
}
turn(
  Math.max(
    pages.findIndex((page) => `#${page.id}` === location.hash),
    0,
  ),
  false,
);
