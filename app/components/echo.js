// Answers each number once it is painted: live views draw in the next frame, so that the one after shows them.
const PATIENCE = 2000; // ms until it is said again: what meets another run of the page may go unheard

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-echo]");
  clearTimeout(host.timer);
  const say = () => {
    setTriggerValue("painted", data);
    host.timer = setTimeout(say, PATIENCE);
  };
  requestAnimationFrame(() => requestAnimationFrame(say));
  return () => clearTimeout(host.timer);
}
