"""One module per peer: small adapters of one shape, `benchmarks.systems.base.System`.

A module here imports its peer at the top: that it cannot be imported is how a missing peer shows.
"""
