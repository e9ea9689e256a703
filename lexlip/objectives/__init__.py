"""Training objectives, one file each: from a model's views of a batch to named scalars, which the phase adds up."""
