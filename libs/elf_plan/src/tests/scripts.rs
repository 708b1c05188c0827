//! The first line of scripts.

use crate::*;

fn script(text: &[u8]) -> Option<(&str, Option<&str>)> {
    match Executable::detect(text) {
        Ok(Executable::Script(script)) => {
            let text = |bytes| std::str::from_utf8(bytes).expect("text");
            Some((text(script.interpreter), script.argument.map(text)))
        }
        Ok(Executable::Elf) => panic!("a script was taken for ELF"),
        Err(error) => {
            assert_eq!(error, Error::BadScriptLine);
            assert_eq!(error.errno(), 8);
            None
        }
    }
}

#[test]
fn what_is_what() {
    assert_eq!(Executable::detect(b"\x7fELF\x02"), Ok(Executable::Elf));
    for text in [
        b"".as_slice(),
        b"#",
        b"echo hello\n",
        b"\x7fEL",
        b" #!/bin/sh",
    ] {
        assert_eq!(Executable::detect(text), Err(Error::NotExecutableFormat));
    }
}

#[test]
fn usual_lines() {
    assert_eq!(script(b"#!/bin/sh\nexit 1\n"), Some(("/bin/sh", None)));
    assert_eq!(script(b"#! /bin/sh -e\n"), Some(("/bin/sh", Some("-e"))));
    assert_eq!(
        script(b"#!\t /usr/bin/env \t python3 -u  \t\nprint()"),
        Some(("/usr/bin/env", Some("python3 -u")))
    );
}

#[test]
fn without_newline() {
    assert_eq!(script(b"#!/bin/sh"), Some(("/bin/sh", None)));
    assert_eq!(script(b"#!/bin/sh -e"), Some(("/bin/sh", Some("-e"))));
    assert_eq!(script(b"#!/bin/sh -e "), Some(("/bin/sh", Some("-e "))));
}

#[test]
fn a_nul_ends_the_strings() {
    assert_eq!(script(b"#!/bin/sh\0 -e\n"), Some(("/bin/sh", None)));
    assert_eq!(script(b"#!/bin/sh -e\0x\n"), Some(("/bin/sh", Some("-e"))));
}

#[test]
fn nothing_named() {
    for text in [b"#!".as_slice(), b"#!\n/bin/sh", b"#!  \t \n", b"#!   "] {
        assert_eq!(script(text), None);
    }
}

#[test]
fn long_lines() {
    let mut path = b"#!/".to_vec();
    path.resize(255, b'x');
    let mut whole = path.clone();
    whole.push(b'\n');
    assert_eq!(
        script(&whole).map(|(path, _)| path.len()),
        Some(253),
        "the newline is the last byte looked at"
    );
    path.push(b'x');
    path.push(b'\n');
    assert_eq!(script(&path), None, "the path would be cut");
    let mut argument = b"#!/bin/sh ".to_vec();
    argument.resize(400, b'y');
    let cut = "y".repeat(256 - 10);
    assert_eq!(script(&argument), Some(("/bin/sh", Some(cut.as_str()))));
    assert_eq!(script(&[b"#!".as_slice(), &[b' '; 300]].concat()), None);
}
