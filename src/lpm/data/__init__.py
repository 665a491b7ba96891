"""Events: their schema, the batches that hold them, the files they come from and the stream that feeds training."""
