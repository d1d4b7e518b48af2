"""Functions for a CDN's edge, as examples. A topology beside this file names them:

functions:
  - { call: edge_functions.py:choose_arm }
  - { call: edge_functions.py:check_token }
  - { call: edge_functions.py:hide_origin, on: response }
key: { headers: [X-Arm] }
"""

import hashlib

ARMS = ("a", "b")
TOKENS = {"let-me-in"}


def choose_arm(request):
    """An A/B test: a client stays in its arm, which is part of the key by way of X-Arm."""
    arm = request.cookie("arm")
    if arm not in ARMS:
        arm = ARMS[hashlib.sha256(request.client.encode()).digest()[0] % len(ARMS)]
    request.headers["X-Arm"] = arm


def keep_arm(request, response):
    """So that the client stays in its arm when its address changes."""
    if not request.cookie("arm"):
        response.headers.add("Set-Cookie", f"arm={request.headers.get('X-Arm')}; Path=/; Max-Age=86400")


def check_token(request):
    """Members only, below /members/; the origin is not asked."""
    if request.target.startswith("/members/") and request.headers.get("X-Token") not in TOKENS:
        return request.answer(401, {"Content-Type": "text/plain"}, "members only\n")
    return None


def old_paths(request):
    """/v1/… is answered by /…"""
    if request.target.startswith("/v1/"):
        request.target = request.target.removeprefix("/v1")


def hide_origin(request, response):
    """What the origin says of itself."""
    for name in ("Server", "X-Powered-By"):
        del response.headers[name]
    response.headers["X-Content-Type-Options"] = "nosniff"
