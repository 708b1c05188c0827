// Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const http = require('http');
const fs = require('fs');
const { createHash } = require('crypto');

function work(index) {
  let steps = 0;
  for (let start = index * 20000 + 1; start <= (index + 1) * 20000; start++) {
    for (let value = start; value !== 1; steps++) {
      value = value % 2 === 0 ? value / 2 : 3 * value + 1;
    }
  }
  return [steps, createHash('sha256').update(String(steps).repeat(1000)).digest('hex').slice(0, 16)];
}

// A WebAssembly function that loads from the address that it is given. Beyond the memory, V8 turns SIGSEGV into an
// exception.
const load = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f, 3, 2, 1, 0, 5, 3, 1, 0, 1,
  7, 8, 1, 4, 0x6c, 0x6f, 0x61, 0x64, 0, 0, 0x0a, 9, 1, 7, 0, 0x20, 0, 0x28, 2, 0, 0x0b,
]))).exports.load;

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main() {
  console.log(require('greeting')('Node'), fs.readFileSync('data.txt', 'utf8').trim());
  const results = await Promise.all([0, 1, 2, 3].map((index) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: index });
    worker.once('message', resolve).once('error', reject);
  })));
  console.log(JSON.stringify(results));

  const begin = process.hrtime.bigint();
  const elapsed = await Promise.all([30, 10, 20].map(async (time) => {
    await wait(time);
    // Timers count whole milliseconds.
    return process.hrtime.bigint() - begin >= BigInt(time - 1) * 1000000n;
  }));
  console.log(elapsed.join(' '));

  const server = http.createServer((request, response) => {
    response.statusCode = request.url === '/page' ? 200 : 404;
    response.end(`you asked for ${request.url}\n`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  for (const path of ['/page', '/other']) {
    const answer = await new Promise((resolve, reject) => {
      http.get({ port: server.address().port, host: '127.0.0.1', path }, (response) => {
        let text = '';
        response.on('data', (part) => { text += part; });
        response.on('end', () => resolve(`${response.statusCode} ${text.trim()}`));
      }).on('error', reject);
    });
    console.log(answer);
  }
  server.close();

  let traps = 0;
  for (let turn = 0; turn < 1000; turn++) {
    try { load(0x10000000 + turn); } catch (error) { traps += error instanceof WebAssembly.RuntimeError; }
  }
  console.log(load(16), traps);
  try { null.value; } catch (error) { console.log(error.message); }
}

if (isMainThread) {
  main();
} else {
  parentPort.postMessage(work(workerData));
}
