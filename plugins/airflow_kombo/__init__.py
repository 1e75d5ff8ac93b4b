"""Assessment results become result links in applicant tracking systems, through Kombo.

Each folder is a wing of the house, and may import those to its right, never back:

`operators > delivery > planning > rows, observability > ledger > kombo_api, database`; beside it
`operators, delivery > hooks > kombo_api`, and `web > ledger, kombo_api, database`. All of them may
import `exceptions`, `statuses` and `delivery_key`. `tests/repository/test_house.py` holds it.
"""
