// Invisible component that installs `page_history/navigation.js`.
export default function () {}
