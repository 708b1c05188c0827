//! Several things that a WebAssembly engine does; what is printed depends on nothing but the program.

use std::thread;
use wasmi::{Caller, Engine, Linker, Module, Store};

const MODULE: &str = r#"(module
    (import "host" "report" (func $report (param i64)))
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
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate_and_start(&mut store, module).expect("a good module");
    (store, instance)
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
                let count = steps.call(&mut store, (index * 5000 + 1, (index + 1) * 5000)).expect("no trap");
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
    for trap in [
        load.call(&mut store, 0x1000_0000),
        divide.call(&mut store, (7, 0)),
        deep.call(&mut store, 0),
    ] {
        println!("{}", trap.expect_err("a trap"));
    }
}
