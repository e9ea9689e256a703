"""To and from other search engines: an index in their files, and their vectors in ours. Starts without torch."""
