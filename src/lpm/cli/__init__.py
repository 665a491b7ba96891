"""The command line. Each verb has a file; heavy packages are imported when a verb runs, so that help comes at once."""
