/** @param {ComponentArgs<Record<string, string>>} args */
export default function ({ data }) {
  live.addImages(data);
}
