export default function ({ data }) {
  live.addPictures(data);
}
