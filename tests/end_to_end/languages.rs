//! Interpreters as Debian ships them, computing.

use pith_end_to_end::Case;

fn lua(name: &str, script: &str) -> Case {
    Case::new(format!("lua::{name}"), "/usr/bin/lua5.4", &["-e", script])
}

fn sqlite(name: &str, statements: &str) -> Case {
    Case::new(
        format!("sqlite::{name}"),
        "/usr/bin/sqlite3",
        &[":memory:", statements],
    )
}

fn python(name: &str, script: &str) -> Case {
    let mut case = Case::new(
        format!("python::{name}"),
        "/usr/bin/python3",
        &["-c", script],
    );
    case.limit *= 2;
    noted(case)
}

/// With what the image builder says that it took and left out.
fn noted(case: Case) -> Case {
    case.message("^pith: note: python: took the standard library")
        .message("^pith: note: python: left out installed packages")
        .remark("^pith: note: the program looked for what this machine has")
}

const SIEVE: &str = "local n, sieve, count = 20000, {}, 0
for i = 2, n do if not sieve[i] then count = count + 1 for j = i * i, n, i do sieve[j] = true end end end
print(count, math.pi, 7 // 2, 7 / 2, 1 << 62, string.format('%q', 'a\\nb'))";
const TABLES: &str = "local t = {} for i = 1, 500 do t[i] = (i * 7919) % 503 end
table.sort(t) print(table.concat(t, ',', 1, 20), #t, select('#', table.unpack(t, 1, 100)))
print(('x'):rep(10), ('Hello'):upper():reverse(), ('k=v, a=b'):gsub('(%w+)=(%w+)', '%2=%1'))
print(pcall(error, {code = 1}) == false, coroutine.wrap(function() coroutine.yield(5) end)())";
const QUERIES: &str = "WITH RECURSIVE fibonacci(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM fibonacci WHERE n < 80)
SELECT n, a FROM fibonacci WHERE n % 20 = 0;
CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, price REAL);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000)
INSERT INTO items(name, price) SELECT printf('item-%04d', x), (x * 7919 % 1000) / 8.0 FROM c;
CREATE INDEX by_price ON items(price);
SELECT count(*), sum(price), max(name) FROM items WHERE price BETWEEN 20 AND 80;
SELECT name, price, rank() OVER (ORDER BY price DESC, name) FROM items ORDER BY price DESC, name LIMIT 5;
SELECT json_group_array(name) FROM (SELECT name FROM items WHERE price < 0.2 ORDER BY name LIMIT 4);
SELECT group_concat(hex(substr(name, 1, 2)), '-') FROM items WHERE id < 4;";
const COMPUTATION: &str = "import json, hashlib, math, collections, itertools, re, struct, zlib, decimal, fractions
print(json.dumps({'list': [1, 2.5, None, True], 'text': 'ü', 'nested': {'b': 1, 'a': 2}}, sort_keys=True))
print(hashlib.sha256(b'pith' * 10000).hexdigest(), hashlib.md5(b'').hexdigest())
print(math.factorial(50), math.comb(40, 20), round(math.sqrt(2), 12), math.isqrt(10**40))
print(collections.Counter('mississippi').most_common(2), list(itertools.permutations('abc'))[:3])
print(re.sub(r'(\\w+) (\\w+)', r'\\2 \\1', 'hello world'), struct.pack('<IHq', 1, 2, -3).hex())
print(zlib.crc32(b'x' * 100000), len(zlib.compress(b'abc' * 10000)))
decimal.getcontext().prec = 50
print(decimal.Decimal(2).sqrt(), fractions.Fraction(3, 7) + fractions.Fraction(2, 5))
print(sum(i * i for i in range(20000)), 2 ** 200)";
const PROCESSES: &str = "import multiprocessing, os, signal, subprocess, sys, tempfile
print(subprocess.run(['/bin/echo', 'from', 'echo'], capture_output=True, text=True))
print(subprocess.run('cat; echo err >&2; exit 4', shell=True, input='given', capture_output=True, text=True))
with subprocess.Popen(['/bin/cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as cat:
    print(cat.communicate(b'x' * 200000)[0] == b'x' * 200000, cat.returncode)
try: subprocess.run(['/bin/sleep', '10'], timeout=0.1)
except subprocess.TimeoutExpired as e: print(e.cmd)
try: subprocess.run(['/no/such'])
except OSError as e: print(e)
script = tempfile.NamedTemporaryFile('w', delete=False)
script.write('#!/bin/sh\\necho script \"$1\" $#\\n'); script.close(); os.chmod(script.name, 0o755)
print(subprocess.run([script.name, 'a b', 'c'], capture_output=True, text=True).stdout)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, b'child'); os._exit(3)
os.close(write)
print(os.read(read, 100), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
child = subprocess.Popen(['/bin/cat'], stdin=subprocess.PIPE); child.send_signal(signal.SIGKILL); print(child.wait())
def square(x): return x * x
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    with context.Pool(3) as pool: print(sum(pool.map(square, range(300))))
    queue, total = context.Queue(), context.Value('i', 0)
    def work(n):
        with total.get_lock(): total.value += n
        queue.put(n)
    workers = [context.Process(target=work, args=(n,)) for n in range(4)]
    for w in workers: w.start()
    print(sorted(queue.get() for _ in workers))
    for w in workers: w.join()
    print(total.value, [w.exitcode for w in workers], os.system('exit 2') >> 8)
sys.stdout.flush()
os.execv('/bin/echo', ['echo', 'replaced'])";
const FILES: &str = "import os, sys, pathlib, tempfile
root = sys.argv[1]
print(sorted(os.listdir(root)))
print(sorted(p.name for p in pathlib.Path(root).rglob('*.txt')))
with open(os.path.join(root, 'small.txt'), 'a+') as f:
    f.write('appended\\n'); f.seek(0); print(f.read())
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d, 'x'); p.write_bytes(b'1' * 100000); print(p.stat().st_size, p.exists())
print(os.path.exists(d), os.getcwd(), os.environ['HOME'])
try: open(os.path.join(root, 'missing'))
except OSError as e: print(e.errno, e.strerror)";

pub fn cases() -> Vec<Case> {
    vec![
        python("processes", PROCESSES)
            .on_several_processors()
            .options(&["-m", "512M", "--file", "/bin/sh", "--file", "/bin/cat", "--file", "/bin/echo", "--file", "/bin/sleep"]),
        lua("sieve", SIEVE).on_q35_too(),
        lua("tables", TABLES),
        lua("error", "error('on purpose')"),
        lua("status", "os.exit(9)"),
        Case::new("lua::script", "/usr/bin/lua5.4", &["-", "argument"])
            .input("print(arg[1]) for line in io.lines('/proc/self/cmdline') do print(#line > 0) end"),
        Case::new("lua::files", "/usr/bin/lua5.4", &["-e", "local f = io.open(arg[1], 'a') f:write('more\\n') f:close() for l in io.lines(arg[1]) do print(l) end", "-", "{fixture}/small.txt"])
            .fixture(),
        sqlite("queries", QUERIES).on_q35_too(),
        sqlite("error", "SELECT * FROM nowhere;"),
        Case::new("sqlite::input", "/usr/bin/sqlite3", &["-header", "-csv"])
            .input("CREATE TABLE t(a, b);\nINSERT INTO t VALUES (1, 'x'), (2, 'y \"z\"');\nSELECT a * 2 AS twice, b FROM t;\n"),
        python("computation", COMPUTATION).on_q35_too(),
        python("hello", "print('hello from', __import__('sys').version)"),
        python("status", "import sys; print('leaving', file=sys.stderr); sys.exit(3)"),
        python("exception", "def f(n): return 1 // n\nf(0)"),
        python("time", "import time, datetime; a = time.monotonic(); time.sleep(0.05); print(0.05 <= time.monotonic() - a < 20, datetime.datetime.now().year >= 2024, datetime.datetime(2024, 2, 29).isoformat())"),
        python("random", "import random, secrets, uuid; random.seed(42); print(random.random(), random.sample(range(100), 5)); print(len(secrets.token_bytes(32)), secrets.token_hex(8) != secrets.token_hex(8), uuid.uuid4().version)"),
        python("memory", "x = [bytes(1000) for _ in range(20000)]; d = {i: str(i) for i in range(50000)}; print(len(x), sum(map(len, d.values())))"),
        python("signals", "import signal, os; seen = []; signal.signal(signal.SIGUSR1, lambda s, f: seen.append(s)); os.kill(os.getpid(), signal.SIGUSR1); print(seen == [signal.SIGUSR1])"),
        noted(Case::new("python::files", "/usr/bin/python3", &["-c", FILES, "{fixture}"])).fixture(),
        noted(Case::new("python::input", "/usr/bin/python3", &["-", "a", "b"]))
            .input("import sys\nprint(sys.argv, sys.stdin.read() == '')\n"),
    ]
}
