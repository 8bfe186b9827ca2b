"""What the tests share: both clients behind one face, and servers."""
import asyncio
import inspect
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "integration"))

from cli_harness import MODEL, SOURCE, Cutter, Server, wait_for  # noqa: E402, F401: for the tests

import nashswarm  # noqa: E402

for variable in [name for name in os.environ if name.startswith("NASHSWARM_") and name not in
                 ("NASHSWARM_BIN_DIR", "NASHSWARM_LIBRARY", "NASHSWARM_SOURCE_DIR")]:
    del os.environ[variable]


async def settle(value):
    """What a method of either client returns."""
    return await value if inspect.isawaitable(value) else value


async def listed(events):
    return [event async for event in events] if hasattr(events, "__aiter__") else list(events)


class TemporaryTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-python-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def with_both(self, scenario, *arguments, **options):
        """Runs `await scenario(client, directory)` with the blocking client and with that of asyncio."""
        for kind in (nashswarm.Client, nashswarm.aio.Client):
            with self.subTest(client=kind.__module__):
                directory = self.directory / kind.__module__
                directory.mkdir()

                async def run():
                    client = kind(*arguments, **options)
                    try:
                        await scenario(client, directory)
                    finally:
                        await settle(client.close())

                asyncio.run(run())

    async def error_of(self, kind, call):
        """The error of `call()`, which must be of this class, itself."""
        try:
            await settle(call())
        except nashswarm.NashswarmError as error:
            self.assertIs(type(error), kind, error)
            return error
        self.fail(f"{kind.__name__} was expected")
