"""The official Python clients against a running server (HULL_URL)."""

import math
import os
import struct
import threading
import unittest

from convex import ConvexClient, ConvexError, ConvexInt64
from convex.http_client import ConvexHttpClient

URL = os.environ["HULL_URL"]
LIMIT_S = 20.0

VALUES = {
    "null": None,
    "booleans": [True, False],
    "strings": ["", "naïve 🐋 \u2028 \"quoted\""],
    "floats": [0.0, -0.0, 2.0, 0.1 + 0.2, 1e21, 5e-324, 1.7976931348623157e308],
    "special floats": [math.inf, -math.inf, math.nan],
    "int64": [ConvexInt64(0), ConvexInt64(2**53 + 1), ConvexInt64(-(2**63)), ConvexInt64(2**63 - 1)],
    "bytes": [b"", b"\x00\xff\x7f\x80\n"],
    "nested": {"a": [{"b": ConvexInt64(1), "c": [[-0.0]]}, {}], "": "empty key", "key with spaces": b"x"},
}


def exact(value):
    """A form in which values are equal only when type and bits are."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack("<d", value))
    if isinstance(value, ConvexInt64):
        return ("int64", value.value)
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    return (type(value).__name__, value)


class WithinLimit(unittest.TestCase):
    """Runs each test on a thread of its own, so that a hang is a failure."""

    def run(self, result=None):
        worker = threading.Thread(target=super().run, args=(result,), daemon=True)
        worker.start()
        worker.join(LIMIT_S)
        if worker.is_alive():
            result.addFailure(self, (TimeoutError, TimeoutError(f"{self.id()} hangs"), None))
            result.stop()


class HttpClient(WithinLimit):
    def setUp(self):
        self.client = ConvexHttpClient(URL)

    def test_values_round_trip(self):
        for name, value in VALUES.items():
            with self.subTest(name):
                self.assertEqual(exact(self.client.query("values:echo", {"value": value})), exact(value))
                self.client.mutation("values:put", {"name": f"py http {name}", "value": value})
                got = self.client.query("values:get", {"name": f"py http {name}"})
                self.assertEqual(exact(got), exact(value))

    def test_convex_error_carries_data(self):
        with self.assertRaises(ConvexError) as caught:
            self.client.query("errors:failingQuery", {"data": {"code": "NO"}})
        # This client hands the data out as it came: encoded JSON.
        self.assertEqual(caught.exception.data, {"code": "NO"})

    def test_unknown_function(self):
        with self.assertRaisesRegex(Exception, "Could not find public function for 'messages:nope'"):
            self.client.query("messages:nope", {})


class WebSocketClient(WithinLimit):
    def setUp(self):
        self.client = ConvexClient(URL)

    def test_values_round_trip(self):
        for name, value in VALUES.items():
            with self.subTest(name):
                self.assertEqual(exact(self.client.query("values:echo", {"value": value})), exact(value))
                self.client.mutation("values:put", {"name": f"py ws {name}", "value": value})
                got = self.client.query("values:get", {"name": f"py ws {name}"})
                self.assertEqual(exact(got), exact(value))

    def test_subscription_sees_every_mutation_of_another_client(self):
        channel = {"channel": "python"}
        updates = iter(self.client.subscribe("messages:list", channel))
        self.assertEqual(next(updates), [])
        other = ConvexClient(URL)
        for n in range(10):
            other.mutation("messages:send", {**channel, "body": str(n)})
            expected = [str(i) for i in range(n + 1)]
            # The client reports a query at every transition, changed or not.
            seen = next(updates)
            while seen != expected:
                self.assertEqual(seen, expected[:-1])
                seen = next(updates)

    def test_mutation_that_writes_nothing_returns(self):
        self.assertIsNone(self.client.mutation("messages:look", {"channel": "python nothing"}))

    def test_failed_mutation_raises_at_once(self):
        # This client waits for a transition after a failure with data: without
        # one, the call would hang until the connection is given up.
        with self.assertRaises(ConvexError) as caught:
            self.client.mutation("errors:failingMutation", {"data": {"reason": "no"}})
        self.assertEqual(caught.exception.data, {"reason": "no"})
        with self.assertRaisesRegex(Exception, "Uncaught Error: boom"):
            self.client.mutation("errors:plainErrorMutation", {})

    def test_failing_subscription(self):
        with self.assertRaises(ConvexError):
            next(iter(self.client.subscribe("errors:failingQuery", {"data": "x"})))


if __name__ == "__main__":
    unittest.main(verbosity=2)
