// Answers each number once it is painted: live views draw in the next frame, so that the one after shows them.
export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-echo]");
  clearTimeout(host.timer);
  let gone = false;
  const say = () => gone || insist(host, () => setTriggerValue("painted", data));
  requestAnimationFrame(() => requestAnimationFrame(say));
  return () => {
    gone = true;
    clearTimeout(host.timer);
  };
}
