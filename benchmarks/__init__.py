"""Side-by-side benchmarks of netcore and asyncdb with what their users could take instead.

`python -m benchmarks` (or `make bench`) runs them; README.md says what is measured and how to read it. Nothing here is
part of the installed packages.
"""
