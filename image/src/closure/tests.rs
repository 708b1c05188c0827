use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::*;
use crate::tree::Present;

fn surroundings() -> Surroundings {
    Surroundings {
        path: "/usr/bin:/bin".into(),
        library_path: None,
        working_directory: "/".into(),
    }
}

/// The closure of one program: its libraries as the linker opens them, and the tree.
fn closure_of(path: &Path, surroundings: Surroundings) -> Result<(BTreeSet<PathBuf>, Tree), Error> {
    let mut tree = Tree::new();
    let chain = Closure::new(&mut tree, surroundings)?.add_program(path)?;
    let libraries = chain
        .iter()
        .filter_map(|program| program.loaded.as_ref())
        .flat_map(Loaded::libraries)
        .map(Path::to_path_buf)
        .collect();
    Ok((libraries, tree))
}

/// What ldd(1) prints behind `=>`.
fn ldd(path: &Path, library_path: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut command = Command::new("ldd");
    command.arg(path).env_remove("LD_LIBRARY_PATH");
    if let Some(library_path) = library_path {
        command.env("LD_LIBRARY_PATH", library_path);
    }
    let output = command.output().expect("ldd runs");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(PathBuf::from(line.split_once("=> ")?.1.split(' ').next()?)))
        .collect()
}

/// Compiles a C file with gcc.
fn compile(directory: &Path, output: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let output = directory.join(output);
    fs::create_dir_all(output.parent().unwrap()).unwrap();
    let input = output.with_extension("c");
    fs::write(&input, source).unwrap();
    let status = Command::new("gcc")
        .current_dir(directory)
        .args(["-o".as_ref(), output.as_os_str(), input.as_os_str()])
        .args(arguments)
        .status()
        .expect("gcc runs");
    assert!(status.success(), "{}", output.display());
    output
}

fn library(directory: &Path, output: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let name = Path::new(output).file_name().unwrap().to_str().unwrap();
    let soname = format!("-Wl,-soname,{name}");
    let arguments = [&["-shared", "-fPIC", &soname], arguments].concat();
    compile(directory, output, source, &arguments)
}

/// A canonical temporary directory, for paths are compared.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    (directory, path)
}

#[test]
fn the_closure_of_installed_programs_is_what_ldd_prints() {
    for program in [
        "/bin/ls",
        "/usr/bin/python3",
        "/usr/bin/sqlite3",
        "/usr/bin/sha256sum",
        "/usr/bin/gcc",
    ] {
        let path = Path::new(program);
        if !path.exists() {
            eprintln!("{program} is not installed");
            continue;
        }
        let expected = ldd(path, None);
        assert!(!expected.is_empty(), "{program}");
        let (mut libraries, tree) = closure_of(path, surroundings()).unwrap();
        // What glibc opens only when a thread ends is not yet linked when `ldd` looks.
        libraries.retain(|library| expected.contains(library) || !library.ends_with(UNWINDER));
        assert_eq!(libraries, expected, "{program}");
        for library in expected {
            let canonical = library.canonicalize().unwrap();
            assert!(tree.get(&canonical).is_some(), "{}", canonical.display());
        }
    }
}

#[test]
fn programs_whose_threads_unwind_get_the_library_for_it() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return eprintln!("{} is not installed", python.display());
    }
    let (libraries, _) = closure_of(python, surroundings()).unwrap();
    assert!(libraries.iter().any(|library| library.ends_with(UNWINDER)));
    let (libraries, _) = closure_of(Path::new("/bin/ls"), surroundings()).unwrap();
    assert!(!libraries.iter().any(|library| library.ends_with(UNWINDER)));
}

#[test]
fn every_link_on_the_way_is_kept() {
    let (_, tree) = closure_of(Path::new("/bin/ls"), surroundings()).unwrap();
    for path in ["/bin/ls", "/lib64/ld-linux-x86-64.so.2"] {
        let Found::File(canonical) = tree.find(Path::new(path)).unwrap() else {
            panic!("{path} leads nowhere");
        };
        assert_eq!(canonical, Path::new(path).canonicalize().unwrap());
        assert!(tree.get(&canonical).is_some());
        let (parent, name) = (
            Path::new(path).parent().unwrap(),
            Path::new(path).file_name().unwrap(),
        );
        for crossed in [
            parent.to_path_buf(),
            parent.canonicalize().unwrap().join(name),
        ] {
            let is_link = fs::symlink_metadata(&crossed).unwrap().is_symlink();
            let node = tree.get(&crossed).unwrap();
            assert_eq!(
                matches!(node.content, Content::Link(_)),
                is_link,
                "{}",
                crossed.display()
            );
        }
    }
}

#[test]
fn run_paths_are_followed_as_ldd_follows_them() {
    let (_keep, at) = directory();
    let text = at.to_str().unwrap();
    library(&at, "deep/libdeep.so", "int deep(void) { return 3; }", &[]);
    // RPATH is inherited by libraries, so libmid finds libdeep through the program's.
    library(
        &at,
        "mid/libmid.so",
        "int deep(void); int mid(void) { return deep(); }",
        &["-Ldeep", "-ldeep"],
    );
    let source = "int mid(void); int main(void) { return mid(); }";
    let program = compile(
        &at,
        "bin/rpath",
        source,
        &[
            "-Lmid",
            "-lmid",
            "-Wl,--allow-shlib-undefined",
            "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../mid:${ORIGIN}/../deep",
        ],
    );
    let (libraries, _) = closure_of(&program, surroundings()).unwrap();
    assert_eq!(libraries, ldd(&program, None));
    assert!(libraries.iter().any(|path| path.ends_with("libdeep.so")));

    // RUNPATH is not inherited: libdeep is missing now.
    let program = compile(
        &at,
        "bin/runpath",
        source,
        &[
            "-Lmid",
            "-lmid",
            "-Wl,--allow-shlib-undefined",
            "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../mid:$ORIGIN/../deep",
        ],
    );
    let error = closure_of(&program, surroundings()).unwrap_err();
    let Error::MissingLibrary {
        name,
        needed_by,
        searched,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(name, "libdeep.so");
    assert!(needed_by.ends_with("libmid.so"), "{}", needed_by.display());
    assert!(
        searched.0.contains(&"/etc/ld.so.cache".to_owned()),
        "{error}"
    );
    assert!(
        !searched.0.iter().any(|place| place.contains(text)),
        "{error}"
    );
    assert!(error.to_string().contains("--file"), "{error}");

    // LD_LIBRARY_PATH finds it.
    let deep = at.join("deep");
    let with_path = Surroundings {
        library_path: Some(deep.clone().into()),
        ..surroundings()
    };
    let (libraries, _) = closure_of(&program, with_path).unwrap();
    assert_eq!(libraries, ldd(&program, Some(&deep)));
}

#[test]
fn the_order_of_places_is_that_of_ldd() {
    let (_keep, at) = directory();
    for place in ["rpath", "environment"] {
        library(
            &at,
            &format!("{place}/libplace.so"),
            "int place(void) { return 1; }",
            &[],
        );
    }
    let source = "int place(void); int main(void) { return place(); }";
    let environment = at.join("environment");
    for (name, tags) in [
        ("old", "--disable-new-dtags"),
        ("new", "--enable-new-dtags"),
    ] {
        let flags = format!("-Wl,{tags},-rpath,{}", at.join("rpath").display());
        let program = compile(&at, name, source, &["-Lrpath", "-lplace", &flags]);
        let with_path = Surroundings {
            library_path: Some(environment.clone().into()),
            ..surroundings()
        };
        let (libraries, _) = closure_of(&program, with_path).unwrap();
        assert_eq!(libraries, ldd(&program, Some(&environment)), "{name}");
    }
}

#[test]
fn a_library_for_another_processor_is_passed_over() {
    let (_keep, at) = directory();
    library(&at, "right/libword.so", "int word(void) { return 1; }", &[]);
    fs::create_dir(at.join("wrong")).unwrap();
    let mut bytes = fs::read(at.join("right/libword.so")).unwrap();
    bytes[18] = 183; // EM_AARCH64
    fs::write(at.join("wrong/libword.so"), bytes).unwrap();
    let program = compile(
        &at,
        "program",
        "int word(void); int main(void) { return word(); }",
        &[
            "-Lright",
            "-lword",
            "-Wl,-rpath,$ORIGIN/wrong:$ORIGIN/right",
        ],
    );
    let (libraries, _) = closure_of(&program, surroundings()).unwrap();
    assert!(
        libraries.contains(&at.join("right/libword.so")),
        "{libraries:?}"
    );
}

#[test]
fn a_missing_library_can_be_brought_by_the_user() {
    let (_keep, at) = directory();
    library(&at, "libbrought.so", "int brought(void) { return 1; }", &[]);
    let program = compile(
        &at,
        "program",
        "int brought(void); int main(void) { return brought(); }",
        &["-L.", "-lbrought"],
    );
    assert!(matches!(
        closure_of(&program, surroundings()),
        Err(Error::MissingLibrary { .. })
    ));
    let mut tree = Tree::new();
    tree.copy(
        &at.join("libbrought.so"),
        Path::new("/usr/lib/libbrought.so"),
        Present::Replace,
        &mut |_, _| true,
    )
    .unwrap();
    Closure::new(&mut tree, surroundings())
        .unwrap()
        .add_program(&program)
        .unwrap();
}

#[test]
fn programs_of_musl_find_their_linker() {
    if Command::new("musl-gcc").arg("--version").output().is_err() {
        eprintln!("musl-gcc is not installed");
        return;
    }
    let (_keep, at) = directory();
    let musl = |output: &str, source: &str, arguments: &[&str]| {
        fs::write(at.join("source.c"), source).unwrap();
        let status = Command::new("musl-gcc")
            .current_dir(&at)
            .args(["source.c", "-o", output])
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "{output}");
        at.join(output)
    };
    // musl has a library use the run path of the object that loaded it, be it RPATH or RUNPATH.
    fs::create_dir(at.join("lib")).unwrap();
    musl(
        "lib/libinner.so",
        "int inner(void) { return 1; }",
        &["-shared", "-fPIC"],
    );
    let source = "int inner(void); int outer(void) { return inner(); }";
    musl(
        "lib/libouter.so",
        source,
        &["-shared", "-fPIC", "-Llib", "-linner"],
    );
    let program = musl(
        "program",
        "int outer(void); int main(void) { return outer(); }",
        &[
            "-Llib",
            "-louter",
            "-Wl,--allow-shlib-undefined,--enable-new-dtags,-rpath,$ORIGIN/lib",
        ],
    );
    let output = Command::new("/lib/ld-musl-x86_64.so.1")
        .arg("--list")
        .arg(&program)
        .output()
        .unwrap();
    let expected: BTreeSet<PathBuf> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_once("=> ")?.1.split(' ').next()?.into()))
        .filter(|path: &PathBuf| path.starts_with(&at))
        .collect();
    assert_eq!(expected.len(), 2);
    let mut tree = Tree::new();
    let mut closure = Closure::new(&mut tree, surroundings()).unwrap();
    let chain = closure.add_program(&program).unwrap();
    assert!(closure.met(Linker::Musl) && !closure.met(Linker::Glibc));
    let libraries: BTreeSet<PathBuf> = chain[0]
        .loaded
        .as_ref()
        .unwrap()
        .libraries()
        .map(Path::to_path_buf)
        .collect();
    assert_eq!(libraries, expected);
    let linker = tree.find(Path::new("/lib/ld-musl-x86_64.so.1")).unwrap();
    assert!(matches!(linker, Found::File(path) if tree.get(&path).is_some()));
}

#[test]
fn scripts_bring_their_interpreters() {
    let (_keep, at) = directory();
    let script = |name: &str, text: &str| {
        let path = at.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let direct = script("direct", "#!/bin/sh -e\necho\n");
    let mut tree = Tree::new();
    let chain = Closure::new(&mut tree, surroundings())
        .unwrap()
        .add_program(&direct)
        .unwrap();
    let names = |chain: &[Program]| {
        chain
            .iter()
            .map(|program| program.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&chain), [direct.clone(), "/bin/sh".into()]);

    let by_env = script("by_env", "#! /usr/bin/env -S A=1 sh\necho\n");
    let chain = Closure::new(&mut tree, surroundings())
        .unwrap()
        .add_program(&by_env)
        .unwrap();
    assert_eq!(
        names(&chain),
        [by_env, "/usr/bin/env".into(), "/usr/bin/sh".into()]
    );

    let nested = script("nested", &format!("#!{}\n", direct.display()));
    let chain = Closure::new(&mut tree, surroundings())
        .unwrap()
        .add_program(&nested)
        .unwrap();
    assert_eq!(names(&chain), [nested, direct, "/bin/sh".into()]);

    let missing = script("missing", "#!/no/such/interpreter\n");
    assert!(matches!(
        closure_of(&missing, surroundings()),
        Err(Error::MissingInterpreter { .. })
    ));
    let circle = script("circle", &format!("#!{}\n", at.join("circle").display()));
    assert!(matches!(
        closure_of(&circle, surroundings()),
        Err(Error::InterpreterLoop { .. })
    ));
}

#[test]
fn what_is_no_program_is_named() {
    let (_keep, at) = directory();
    let file = |name: &str, bytes: &[u8], mode: u32| {
        let path = at.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let error = |path: &Path| closure_of(path, surroundings()).unwrap_err();
    let elf = fs::read("/bin/ls").unwrap();

    assert!(matches!(
        error(&file("text", b"hello", 0o755)),
        Error::NotAProgram { .. }
    ));
    assert!(matches!(
        error(&file("empty", b"", 0o755)),
        Error::NotAProgram { .. }
    ));
    assert!(matches!(
        error(&file("plain", &elf, 0o644)),
        Error::NotExecutable { .. }
    ));
    assert!(matches!(error(&at), Error::NotAFile { .. }));
    assert!(matches!(error(&at.join("nothing")), Error::Missing { .. }));
    assert!(matches!(
        error(&file("short", &elf[..10], 0o755)),
        Error::MalformedElf { .. }
    ));
    assert!(matches!(
        error(&file("cut", &elf[..200], 0o755)),
        Error::MalformedElf { .. }
    ));

    let mut changed = elf.clone();
    changed[4] = 1; // ELFCLASS32
    assert!(matches!(
        error(&file("x32", &changed, 0o755)),
        Error::ThirtyTwoBit { .. }
    ));
    changed[18] = 3; // EM_386
    assert!(matches!(
        error(&file("i386", &changed, 0o755)),
        Error::ThirtyTwoBit { .. }
    ));
    let mut changed = elf.clone();
    changed[18] = 183; // EM_AARCH64
    let arm = error(&file("arm", &changed, 0o755));
    assert!(
        matches!(arm, Error::ForeignArchitecture { .. }) && arm.to_string().contains("aarch64"),
        "{arm}"
    );
    let mut changed = elf.clone();
    changed[5] = 2; // ELFDATA2MSB
    changed[18..20].copy_from_slice(&22u16.to_be_bytes()); // EM_S390
    let big = error(&file("s390", &changed, 0o755));
    assert!(big.to_string().contains("s390x"), "{big}");
    let mut changed = elf;
    changed[16] = 1; // ET_REL
    assert!(matches!(
        error(&file("object", &changed, 0o755)),
        Error::MalformedElf { .. }
    ));

    std::os::unix::fs::symlink("second", at.join("first")).unwrap();
    std::os::unix::fs::symlink("first", at.join("second")).unwrap();
    assert!(matches!(
        error(&at.join("first")),
        Error::TooManyLinks { .. }
    ));

    let shared = library(&at, "libonly.so", "int only(void) { return 1; }", &[]);
    assert!(matches!(error(&shared), Error::MalformedElf { .. }));
}

/// Damaged ELF files end in an error or in some answer, never in a crash.
#[test]
fn damaged_files_do_no_harm() {
    let (_keep, at) = directory();
    let elf = fs::read("/bin/ls").unwrap();
    let path = at.join("damaged");
    // A simple generator of pseudo-random numbers is enough and repeats.
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    };
    for _ in 0..300 {
        let mut bytes = elf[..4096 + random(elf.len() - 4096)].to_vec();
        for _ in 0..8 {
            let position = random(1024);
            bytes[position] = random(256) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        let _ = Format::of(&path);
    }
}

#[test]
fn words_of_paths_are_replaced() {
    let mut tree = Tree::new();
    let closure = Closure::new(&mut tree, surroundings()).unwrap();
    let expand = |text: &str| closure.expand(OsStr::new(text), Path::new("/o"));
    assert_eq!(expand("$ORIGIN/a"), Path::new("/o/a"));
    assert_eq!(expand("${ORIGIN}a"), Path::new("/oa"));
    assert_eq!(
        expand("/x/$PLATFORM/${PLATFORM}"),
        Path::new("/x/x86_64/x86_64")
    );
    assert_eq!(expand("/$ORIGINAL/$"), Path::new("/$ORIGINAL/$"));
    assert_eq!(expand("relative"), Path::new("relative"));
}

#[test]
fn the_library_cache_names_what_is_in_the_image() {
    let mut tree = Tree::new();
    let mut closure = Closure::new(&mut tree, surroundings()).unwrap();
    closure.add_program(Path::new("/bin/ls")).unwrap();
    closure.add_library_cache().unwrap();
    let node = tree.get(Path::new(LIBRARY_CACHE)).unwrap();
    let Content::Bytes(bytes) = &node.content else {
        panic!("the cache is generated");
    };
    let cache = LibraryCache::parse(bytes);
    assert!(cache.get(OsStr::new("libc.so.6")).is_some());
    assert!(cache.get(OsStr::new("libstdc++.so.6")).is_none());
    // glibc's own tool reads it.
    let (_keep, at) = directory();
    let file = at.join("cache");
    fs::write(&file, bytes).unwrap();
    let output = Command::new("/sbin/ldconfig")
        .arg("-p")
        .arg("-C")
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("libc.so.6 (libc6,x86-64) => "), "{text}");
}

#[test]
fn libraries_are_found_from_where_the_program_starts() {
    let (_keep, at) = directory();
    let shared = ["-shared", "-fPIC"];
    compile(&at, "libone.so", "int one(void) { return 1; }", &shared);
    compile(
        &at,
        "parts/libtwo.so",
        "int two(void) { return 2; }",
        &shared,
    );
    compile(
        &at,
        "libthree.so",
        "int two(void); int three(void) { return 1 + two(); }",
        &["-shared", "-fPIC", "parts/libtwo.so"],
    );
    let linked = compile(
        &at,
        "linked",
        "int one(void); int main(void) { return one(); }",
        &["./libone.so"],
    );
    let opening = compile(
        &at,
        "opening",
        "#include <dlfcn.h>\nint main(void) { return !dlopen(\"./libthree.so\", RTLD_NOW) + !dlopen(\"libnone.so\", 1); }",
        &[],
    );
    let bare = compile(&at, "bare", "int main(void) { return 0; }", &[]);
    let there = Surroundings {
        working_directory: at.clone(),
        ..surroundings()
    };
    for (program, files, uses) in [
        (&linked, &["libone.so"][..], true),
        (&opening, &["libthree.so", "parts/libtwo.so"], true),
        (&bare, &[], false),
    ] {
        let mut tree = Tree::new();
        let mut closure = Closure::new(&mut tree, there.clone()).unwrap();
        closure.add_program(program).unwrap();
        assert_eq!(closure.uses_working_directory(), uses, "{program:?}");
        for file in ["libone.so", "libthree.so", "parts/libtwo.so"] {
            let is_there = tree.get(&at.join(file)).is_some();
            assert_eq!(is_there, files.contains(&file), "{program:?}: {file}");
        }
    }
    // From elsewhere the linker would not find it either.
    let error = closure_of(&linked, surroundings()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::MissingLibrary { .. }), "{error:?}");
}
