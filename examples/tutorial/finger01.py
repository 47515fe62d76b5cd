"""finger, step 1: a reactor, which waits for something to happen. Nothing does, until Ctrl-C ends it.

Run it: python examples/tutorial/finger01.py
"""

from netcore import reactor

reactor.callWhenRunning(print, "The reactor runs; Ctrl-C ends it.")
reactor.run()
