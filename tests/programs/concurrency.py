import threading, queue, concurrent.futures, asyncio, time, os
q=queue.Queue()
def w():
    while True:
        i=q.get()
        if i is None: break
        res.append(i*i)
        q.task_done()
res=[]
ts=[threading.Thread(target=w) for _ in range(8)]
[t.start() for t in ts]
for i in range(200): q.put(i)
q.join()
for _ in ts: q.put(None)
[t.join() for t in ts]
print(sum(res))
with concurrent.futures.ThreadPoolExecutor(4) as ex: print(sum(ex.map(lambda x:x*2, range(100))))
async def main():
    async def f(n): await asyncio.sleep(0.01*n); return n
    print(await asyncio.gather(*(f(i) for i in range(5))))
    r,wr=os.pipe()
    loop=asyncio.get_running_loop(); fut=loop.create_future()
    loop.add_reader(r, lambda: fut.set_result(os.read(r,10)))
    os.write(wr,b'x'); print(await fut)
    print(await loop.run_in_executor(None, lambda: 7))
asyncio.run(main())
