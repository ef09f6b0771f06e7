// Asks the server for the result of a background job until it is there, then hands it to the live views.
const PAUSE = 300; // ms from an answer to the next question

const take = {
  grid({ key, done, total, error, result }) {
    live.take({ progress: { key, done, total, error } });
    if (!result) return;
    live.addPictures(result.pictures);
    const matches = new Map(result.matches.map(([gamma, match]) => [gamma, readMatch(match)]));
    live.take({ grid: { key: result.key, matches, people: result.people } });
  },
  pairs({ result }) {
    if (result) live.take({ pairs: { ...result, pairs: new Map(result.pairs) } });
  },
  heat({ result }) {
    if (result) live.take({ heat: result });
  },
};

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-feed]");
  clearTimeout(host.timer);
  take[data.name](data);
  if (!data.finished) host.timer = setTimeout(() => setTriggerValue("asked", data.answer), PAUSE);
  return () => clearTimeout(host.timer);
}
