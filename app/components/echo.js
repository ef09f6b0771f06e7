// Answers each number once it is painted: live views draw in the next frame, so that the one after shows them.
export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-echo]");
  if (host.heard === data) return;
  host.heard = data;
  requestAnimationFrame(() => requestAnimationFrame(() => setTriggerValue("painted", data)));
}
