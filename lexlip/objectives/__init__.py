"""Training objectives, one file each. They take a model's views of a batch and return named scalars; the phase adds them up."""
