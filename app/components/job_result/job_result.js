// Asks the server for the result of a background job until it is there, then hands it to the live views.
const take = {
  grid(result) {
    live.addPictures(result.pictures);
    const matches = new Map(result.matches.map(([gamma, match]) => [gamma, readMatch(match)]));
    live.take({ grid: { key: result.key, matches, people: result.people } });
  },
  pairs(result) {
    live.take({ pairs: { ...result, pairs: new Map(result.pairs) } });
  },
  heat(heat) {
    live.take({ heat });
  },
};

export default function ({ data, parentElement, setTriggerValue }) {
  const host = parentElement.querySelector("[data-feed]");
  const { name, about, done, total, error, pause } = data;
  clearTimeout(host.timer);
  if (data.result) {
    take[name](data.result);
    live.fed[name] = about;
  }
  if (name === "grid") live.take({ progress: { key: about, done, total, error } });
  const ask = () => insist(host, () => setTriggerValue("asked", data.answer ?? 0), Math.max(PATIENCE, pause));
  if (!data.finished) host.timer = setTimeout(ask, pause);
  else if (live.fed[name] !== about && !error) host.timer = setTimeout(ask, 0);
  return () => clearTimeout(host.timer);
}
