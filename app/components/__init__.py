"""Browser components: html, css and js beside one Python face each."""
