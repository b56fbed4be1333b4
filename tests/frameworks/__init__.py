"""Frameworks that are written for aiortc, unchanged, on this stack.

They need an environment of their own (`make test-frameworks`), and are no part of the other tests.
"""

import rtcstack.compat.aiortc

rtcstack.compat.aiortc.install()  # before any of them imports it
