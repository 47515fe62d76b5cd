"""A finger service (RFC 1288) on netcore and asyncdb, with its people in a real database.

Read it in this order: `protocol` (queries in, records out; no network, no database), `store` (the people, in SQLite or
PostgreSQL), `server` (one on top of the other), `client`, and `cli` (``python -m examples.finger``).
"""
