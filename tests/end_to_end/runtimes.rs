//! Language runtimes with threads of their own making, on one processor and on several.

use pith_end_to_end::Case;

fn runtime(name: &str, program: &str, arguments: &[&str]) -> Case {
    let mut case = Case::new(format!("runtimes::{name}"), program, arguments)
        .on_several_processors()
        .options(&["-m", "512M"]);
    case.limit *= 2;
    case
}

pub fn cases() -> Vec<Case> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/concurrency.py");
    vec![
        runtime("go", "{concurrency:go}", &[]),
        runtime("openmp", "{parallel:openmp}", &[]),
        runtime("c++", "{concurrency:c++}", &[]),
        runtime("rust-tokio-rayon", "{concurrency:cargo}", &[]),
        runtime("python", "/usr/bin/python3", &[script])
            .file(script)
            .message("^pith: note: python: took the standard library")
            .message("^pith: note: python: left out installed packages"),
    ]
}
