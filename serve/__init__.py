"""Search as a service on Ray Serve: gateway, encoders, one deployment per index shard, and the web page."""
