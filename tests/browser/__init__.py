"""The app in Chromium."""
