"""An asyncio program that asks a database through a blocking driver, and is never held up by it.

No reactor is started: the pool uses the loop that runs. What runQuery returns is awaited as it is.

Run it: python examples/deferreds/asyncio_query.py [postgresql://user@host/database]
"""

import asyncio
import sys

from asyncdb import ConnectionPool


async def main(url: str) -> None:
    async with ConnectionPool.fromURL(url) as pool:
        alone = await pool.runQuery("SELECT 6 * 7")
        print("six times seven is", alone[0][0])
        together = await asyncio.gather(*(pool.runQuery(f"SELECT {number} * {number}") for number in range(5)))
        print("squares:", *(rows[0][0] for rows in together))


asyncio.run(main(sys.argv[1] if sys.argv[1:] else "sqlite://"))
