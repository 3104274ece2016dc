"""relay - what stands between the peers' ports of a test's nodes: a way from each node to each other one, to cut and to slow.

A connection that node A made to node B goes A -> B by the way (A, B) and back by the way (B, A), each of which can be cut or slow by
itself; TLS goes through as it is. A cut way loses nothing that TCP would keep: bytes wait, and go on when it is mended, as over a
cable that is put back. A connection that is made over a cut way hangs.
"""

import asyncio
import threading

PIECE = 65536
PIECES_ON_WAY = 64


class Relay:
    """peer_ports: {node: its peers' port}. Runs in a thread of its own."""

    def __init__(self, peer_ports):
        self.peer_ports = peer_ports
        self.cut = set()     # of (from, to)
        self.delay_s = {}    # by (from, to)
        self.ports = {}      # by (from, to): where to connect to
        self.loop = asyncio.new_event_loop()
        self.changed = None
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.listen())
        ready.set()
        self.loop.run_forever()

    async def listen(self):
        self.changed = asyncio.Condition()
        for a in self.peer_ports:
            for b in self.peer_ports:
                if a == b:
                    continue
                server = await asyncio.start_server(
                    lambda r, w, a=a, b=b: self.serve(a, b, r, w), "127.0.0.1", 0)
                self.ports[(a, b)] = server.sockets[0].getsockname()[1]

    async def open(self, way):
        """Until the way is open."""
        async with self.changed:
            await self.changed.wait_for(lambda: way not in self.cut)

    async def read(self, way, reader, pieces):
        """Each piece, and when it is there."""
        try:
            while True:
                piece = await reader.read(PIECE)
                await pieces.put((self.loop.time() + self.delay_s.get(way, 0), piece))
                if not piece:
                    return
        except OSError:
            await pieces.put((self.loop.time(), b""))

    async def write(self, way, pieces, writer):
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0, due - self.loop.time()))
                await self.open(way)
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def pump(self, way, reader, writer):
        """What is on a slow way follows one behind the other; it does not wait for what is ahead to arrive."""
        pieces = asyncio.Queue(PIECES_ON_WAY)
        reading = asyncio.ensure_future(self.read(way, reader, pieces))
        await self.write(way, pieces, writer)
        reading.cancel()

    async def serve(self, a, b, reader, writer):
        await self.open((a, b))
        await self.open((b, a))
        try:
            there, out = await asyncio.open_connection("127.0.0.1", self.peer_ports[b])
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pump((a, b), reader, out), self.pump((b, a), there, writer))

    def change(self, what):
        async def do():
            async with self.changed:
                what()
                self.changed.notify_all()
        asyncio.run_coroutine_threadsafe(do(), self.loop).result()

    def cut_ways(self, ways):
        self.change(lambda: self.cut.update(ways))

    def slow_ways(self, ways, delay_s):
        self.change(lambda: self.delay_s.update({way: delay_s for way in ways}))

    def mend(self):
        self.change(lambda: (self.cut.clear(), self.delay_s.clear()))

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
