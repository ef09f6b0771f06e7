// Answers each number once it is painted: live views draw in the next frame, so that the one after shows them.
const PATIENCE = 2000; // ms until it is said again, twice as many every time: what meets another run of the page may go
// unheard, but a server that is slow must not be asked ever more

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-echo]");
  clearTimeout(host.timer);
  let patience = PATIENCE;
  const say = () => {
    setTriggerValue("painted", data);
    host.timer = setTimeout(say, patience);
    patience *= 2;
  };
  requestAnimationFrame(() => requestAnimationFrame(say));
  return () => clearTimeout(host.timer);
}
