// Answers each number once it is painted: live views draw in the next frame, so that the one after shows them.
/** @param {ComponentArgs<number>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const host = parentElement.querySelector("[data-paint-ack]");
  clearTimeout(host.timer);
  let unmounted = false;
  const acknowledge = () => unmounted || repeatUntilAnswered(host, () => setTriggerValue("painted", data));
  requestAnimationFrame(() => requestAnimationFrame(acknowledge));
  return () => {
    unmounted = true;
    clearTimeout(host.timer);
  };
}
