"""Slow work: a durable queue, the engine that answers what its algorithms ask, and the files that they leave behind."""
