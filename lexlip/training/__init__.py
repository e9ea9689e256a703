"""Training without Ray: phases as data, one step, optimiser and schedule, named runs."""
