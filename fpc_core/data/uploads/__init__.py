"""Images that visitors upload: decoding in a separate process, and crops of photos."""
