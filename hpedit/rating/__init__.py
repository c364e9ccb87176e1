"""The rating page: people rate edits, blind, and what they say outlives any crash."""
