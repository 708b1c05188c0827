//! Several things that a WebAssembly engine does; what is printed depends on nothing but the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use wasmi::{Caller, Config, Engine, Linker, Module, Store};

const MODULE: &str = r#"(module
    (import "host" "report" (func $report (param i64)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "sleep" (func $sleep (param i64)))
    (memory (export "memory") 1 10)
    (func (export "steps") (param $start i64) (param $end i64) (result i64)
        (local $value i64) (local $count i64)
        (loop $next
            (local.set $value (local.get $start))
            (block $done
                (loop $step
                    (br_if $done (i64.eq (local.get $value) (i64.const 1)))
                    (local.set $count (i64.add (local.get $count) (i64.const 1)))
                    (local.set $value
                        (if (result i64) (i64.eqz (i64.and (local.get $value) (i64.const 1)))
                            (then (i64.shr_u (local.get $value) (i64.const 1)))
                            (else (i64.add (i64.mul (local.get $value) (i64.const 3)) (i64.const 1)))))
                    (br $step)))
            (local.set $start (i64.add (local.get $start) (i64.const 1)))
            (br_if $next (i64.lt_u (local.get $start) (local.get $end))))
        (call $report (local.get $count))
        (local.get $count))
    (func (export "wait") (param $time i64) (result i64)
        (local $begin i64)
        (local.set $begin (call $now))
        (loop $early
            (call $sleep (i64.const 1))
            (br_if $early (i64.lt_s (i64.sub (call $now) (local.get $begin)) (local.get $time))))
        (i64.sub (call $now) (local.get $begin)))
    (data (i32.const 1024) "HTTP/1.0 200 OK\0d\0a\0d\0ayou asked for the page")
    (data (i32.const 1100) "HTTP/1.0 404 Not Found\0d\0a\0d\0a")
    (func (export "answer") (param $request i32) (result i64)
        (if (result i64)
            (i32.and
                (i32.eq (i32.load offset=4 (local.get $request)) (i32.const 0x6761702f)) (; /pag ;)
                (i32.eq (i32.load16_u offset=8 (local.get $request)) (i32.const 0x2065))) (; e and a space ;)
            (then (i64.const 0x40000000029)) (; where the answer is, and its length ;)
            (else (i64.const 0x44c0000001a))))
    (func (export "forever") (param i32) (result i32) (loop $again (br $again)) (i32.const 0))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func $deep (export "deep") (param i32) (result i32)
        (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1))))))"#;

/// Instantiates the module; the store counts what the module reports.
fn instance(engine: &Engine, module: &Module) -> (Store<i64>, wasmi::Instance) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "report", |mut caller: Caller<'_, i64>, count: i64| *caller.data_mut() += count)
        .expect("the only function of this name");
    let start = Instant::now();
    linker
        .func_wrap("host", "now", move || start.elapsed().as_millis() as i64)
        .expect("the only function of this name");
    linker
        .func_wrap("host", "sleep", |time: i64| thread::sleep(Duration::from_millis(time as u64)))
        .expect("the only function of this name");
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate_and_start(&mut store, module).expect("a good module");
    (store, instance)
}

/// A server whose answers the module chooses: the host reads, has it look at the request in its memory, and writes.
fn serve(listener: &TcpListener, engine: &Engine, module: &Module) -> std::io::Result<()> {
    let (mut store, instance) = instance(engine, module);
    let answer = instance.get_typed_func::<i32, i64>(&store, "answer").expect("exported");
    let memory = instance.get_memory(&store, "memory").expect("exported");
    for _ in 0..2 {
        let mut stream = BufReader::new(listener.accept()?.0);
        let mut request = String::new();
        stream.read_line(&mut request)?;
        memory.write(&mut store, 2048, request.as_bytes()).expect("room");
        let place = answer.call(&mut store, 2048).expect("no trap");
        let mut text = vec![0; (place & 0xffff_ffff) as usize];
        memory.read(&store, (place >> 32) as usize, &mut text).expect("within the memory");
        stream.get_mut().write_all(&text)?;
    }
    Ok(())
}

fn web(engine: &Engine, module: &Module) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (engine, module) = (engine.clone(), module.clone());
    let server = thread::spawn(move || serve(&listener, &engine, &module));
    for path in ["/page", "/other"] {
        let mut stream = TcpStream::connect(address)?;
        // One segment: the server doesn't wait for what comes behind the first line, and closes.
        stream.write_all(format!("GET {path} HTTP/0.9\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        println!("{answer:?}");
    }
    server.join().expect("no panic")
}

/// An endless loop is stopped when its fuel is used up.
fn fuel() {
    let mut config = Config::default();
    config.consume_fuel(true);
    let engine = Engine::new(&config);
    let module = Module::new(&engine, MODULE).expect("a good module");
    let (mut store, instance) = instance(&engine, &module);
    store.set_fuel(100_000).expect("fuel is counted");
    let forever = instance.get_typed_func::<i32, i32>(&store, "forever").expect("exported");
    println!("{}", forever.call(&mut store, 0).expect_err("no fuel is left"));
}

fn main() {
    println!("hello from WebAssembly's host");
    let engine = Engine::default();
    let module = Module::new(&engine, MODULE).expect("a good module");
    let threads: Vec<_> = (0..4_i64)
        .map(|index| {
            let (engine, module) = (engine.clone(), module.clone());
            thread::spawn(move || {
                let (mut store, instance) = instance(&engine, &module);
                let steps = instance.get_typed_func::<(i64, i64), i64>(&store, "steps").expect("exported");
                let count = steps.call(&mut store, (index * 3000 + 1, (index + 1) * 3000)).expect("no trap");
                (count, *store.data() == count)
            })
        })
        .collect();
    for thread in threads {
        println!("{:?}", thread.join().expect("no panic"));
    }
    let (mut store, instance) = instance(&engine, &module);
    let one = |name: &str| instance.get_typed_func::<i32, i32>(&store, name).expect("exported");
    let (load, grow, deep) = (one("load"), one("grow"), one("deep"));
    let divide = instance.get_typed_func::<(i32, i32), i32>(&store, "divide").expect("exported");
    println!("{:?} {:?}", load.call(&mut store, 16).ok(), divide.call(&mut store, (7, 2)).ok());
    println!("{:?} {:?}", grow.call(&mut store, 5).ok(), grow.call(&mut store, 5).ok());
    let wait = instance.get_typed_func::<i64, i64>(&store, "wait").expect("exported");
    println!("{}", wait.call(&mut store, 30).is_ok_and(|time| time >= 30));
    web(&engine, &module).expect("a server and a client");
    fuel();
    for trap in [
        load.call(&mut store, 0x1000_0000),
        divide.call(&mut store, (7, 0)),
        deep.call(&mut store, 0),
    ] {
        println!("{}", trap.expect_err("a trap"));
    }
}
