"""Deferreds, netcore's and Twisted's, and asyncio's Futures and Tasks, in one process: what single operations cost.

`operations` and `memory` say what is measured, `with_deferreds` and `with_asyncio` how it is done in each, and
`comparison` does it.
"""
