// Reports each number once the page is painted. Live views draw in the next frame, so the report waits one more frame.
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
