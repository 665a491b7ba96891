"""The door to file formats: a reader for each, chosen by content, and writers that never leave half a file behind."""
