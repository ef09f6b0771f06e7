// Invisible component that installs `file_drop/dropped_files.js` and sets the uploader that receives the files.
/** @param {ComponentArgs<{uploader: string}>} args */
export default function ({ data }) {
  window.fpcFileDrop ??= new FileDrop();
  window.fpcFileDrop.uploader = data.uploader;
}
