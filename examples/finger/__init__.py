"""A finger service (RFC 1288) on netcore and asyncdb, with its people in a real database.

Read it in this order: `protocol` (queries in, records out; no network, no database), `tables` and `store` (the people,
in SQLite or PostgreSQL; blocking, and not), `server` (one on top of the other) with `limits` (how long and how many),
`client`, and `cli` (``python -m examples.finger``). For people in files there are `people_csv`, `transfer`, `output`
and `progress`.
"""
