"""Plan of a run: planner, dry run, estimate of the time, row limit, unmatched ids."""
