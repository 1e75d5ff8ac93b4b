"""Delivery of assessment results as result links to applicant tracking systems.

How a row travels:

1. `rows` reads the rows of a day as pandas' frames.
2. `planning` and `ledger` leave out what is done.
3. `rows` maps each row to a request, or marks it as invalid.
4. `delivery` claims and sends requests, with one sender per integration, through `hooks`.
5. `kombo_api` reads the verdict from each response, and `ledger` records the outcome.
6. `ledger` settles the rows of dead runs, and counts the run.
7. `reconciliation` looks for the links of rows in doubt, and settles the rows by what it finds.

Each folder is a wing, and may import those to its right, never back:
`operators > reconciliation, delivery > planning > rows, observability, throttle > ledger >
kombo_api, database`; beside it
`operators, delivery > hooks > kombo_api`, and `web > ledger, kombo_api, database`. All of them may
import `exceptions`, `statuses` and `delivery_key`; what differs between versions of Airflow is in
`airflow_compat`. `tests/repository/test_house.py` checks this.
`docs/architecture.md` has pictures, and `docs/glossary.md` the words.
"""
