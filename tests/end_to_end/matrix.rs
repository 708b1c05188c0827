//! The matrix of runtimes: each as Debian ships it, on one processor and on two, started as a person would start it: in
//! a directory, without listing files.
//!
//! Every program does one thing after the other in one boot: it greets, with its modules and data; computes on all
//! processors, in threads, or in processes where the language has no threads that run at the same time; waits for timers;
//! serves and asks pages over HTTP with its own standard library, or with a few lines over its sockets where that has no HTTP;
//! and catches what its own null pointer, or the like, leads to.

use pith_end_to_end::Case;

/// Where the applications are.
const APPLICATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/languages");

/// A program with nothing beside it.
fn program(name: &str, program: &str, arguments: &[&str], memory: &str) -> Case {
    let mut case =
        Case::new(format!("matrix::{name}"), program, arguments).options(&["-m", memory]);
    case.processors = vec![1, 2];
    // The heavy ones take seconds for their start alone.
    case.limit *= 2;
    case
}

/// An application in its directory.
fn application(name: &str, interpreter: &str, arguments: &[&str], memory: &str) -> Case {
    program(name, interpreter, arguments, memory)
        .working_directory(&format!("{APPLICATIONS}/{name}"))
        .remark("^pith: note: [a-z]+: (took|left out) ")
}

pub fn cases() -> Vec<Case> {
    vec![
        application("python", "/usr/bin/python3", &["app.py"], "512M"),
        application("node", "/usr/bin/node", &["app.js"], "1G"),
        application("ruby", "/usr/bin/ruby", &["app.rb"], "512M"),
        application("php", "/usr/bin/php", &["public/index.php"], "256M"),
        application("perl", "/usr/bin/perl", &["app.pl"], "256M"),
        // `io.popen` starts a shell.
        application("lua", "/usr/bin/lua5.4", &["app.lua"], "128M").file("/bin/sh"),
        application(
            "erlang",
            "/usr/bin/escript",
            &["app.escript", "one"],
            "512M",
        ),
        program(
            "java",
            "/usr/bin/java",
            // What it reports of its own end would be lost with the machine.
            &[
                "-XX:+ErrorFileToStdout",
                "-Xshare:auto",
                "-jar",
                "{Runtime:java}",
            ],
            "1G",
        )
        .remark("^pith: note: java: took ")
        .writes_code(),
        program("c++", "{runtime:c++}", &[], "64M"),
        program("rust", "{runtime:rust-dynamic}", &[], "64M"),
        program("go", "{runtime:go}", &[], "256M"),
        program("haskell", "{runtime:haskell}", &[], "256M"),
        program("ocaml", "{runtime:ocaml}", &[], "128M"),
        program("webassembly", "{wasm:cargo}", &[], "128M"),
    ]
}
