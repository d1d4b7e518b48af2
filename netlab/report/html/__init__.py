"""report.html: a run as one page that works from disk, without a network."""
