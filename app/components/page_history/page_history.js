// Invisible: installs `_shared/navigation.js`.
export default function () {}
