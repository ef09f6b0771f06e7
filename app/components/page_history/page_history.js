// Invisible: installs `page_history/navigation.js`.
export default function () {}
