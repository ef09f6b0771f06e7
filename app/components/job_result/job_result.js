// Polls the server until it sends the result of a background job, and passes the result to the live views.
const receivers = {
  grid(result) {
    live.addImages(result.images);
    const matches = new Map(result.matches.map(([gamma, match]) => [gamma, decodeMatch(match)]));
    live.receive({ grid: { key: result.key, matches, people: result.people } });
  },
  pairs(result) {
    live.receive({ pairs: { ...result, pairs: new Map(result.pairs) } });
  },
  heat(heat) {
    live.receive({ heat });
  },
};

/** @param {ComponentArgs<{name: string, about: string, done: number, total: number, finished: boolean, error: string, result: any, pause: number, answer?: number}>} args */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {Host} */
  const host = parentElement.querySelector("[data-job-result]");
  const { name, about, done, total, error, pause } = data;
  clearTimeout(host.timer);
  if (data.result) {
    receivers[name](data.result);
    live.received[name] = about;
  }
  if (name === "grid") live.receive({ progress: { key: about, done, total, error } });
  const request = () =>
    repeatUntilAnswered(host, () => setTriggerValue("requested", data.answer ?? 0), Math.max(RETRY_DELAY, pause));
  if (!data.finished) host.timer = setTimeout(request, pause);
  else if (live.received[name] !== about && !error) host.timer = setTimeout(request, 0);
  return () => clearTimeout(host.timer);
}
