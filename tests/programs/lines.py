"""A server on asyncio's streams that sends each line back turned round."""
import asyncio


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.rstrip(b"\n")[::-1] + b"\n")
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 8000)
    async with server:
        await server.serve_forever()


asyncio.run(main())
