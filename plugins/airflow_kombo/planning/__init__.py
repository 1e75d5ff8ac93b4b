"""What a run would do: planner, dry run, estimate, row limit."""
