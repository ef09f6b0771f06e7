"""User interface shared by pages: widgets, charts, job progress and error handling."""
