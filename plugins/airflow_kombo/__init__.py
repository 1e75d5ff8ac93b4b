"""Assessment results become result links in applicant tracking systems, through Kombo.

`errors`, `models` and `mapping` import neither Airflow nor anything that does I/O; `ledger`,
`delivery`, `hook` and `operator` stand on them, in this order of dependence.
"""
