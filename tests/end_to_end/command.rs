//! The `pith` command itself: images, errors, signals, limits of time.

use pith_end_to_end::Workshop;
use pith_end_to_end::compare::{accelerator, against_statement};
use pith_end_to_end::execute::{Handling, Outcome, contains, execute, pid, shell_status};
use pith_end_to_end::workshop::{Build, fixture, make_directory};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("missing-program", missing_program),
    ("program-not-in-path", program_not_in_path),
    ("not-a-program", not_a_program),
    ("foreign-programs", foreign_programs),
    ("truncated-program", truncated_program),
    ("missing-library", missing_library),
    ("missing-file", missing_file),
    ("lacking-file", lacking_file),
    ("library-by-origin", library_by_origin),
    ("manifest", manifest),
    ("manifest-errors", manifest_errors),
    ("images-are-reproducible", images_are_reproducible),
    ("images-run", images_run),
    ("image-arguments", image_arguments),
    (
        "image-built-inside-its-application",
        image_built_inside_its_application,
    ),
    ("commands-that-start-others", commands_that_start_others),
    ("library-beside-the-program", library_beside_the_program),
    ("damaged-images", damaged_images),
    ("inspection", inspection),
    ("user", user),
    ("trace", trace),
    ("statistics", statistics),
    (
        "accelerator-is-announced-once",
        accelerator_is_announced_once,
    ),
    ("wall-clock", wall_clock),
    ("time-limit", time_limit),
    ("time-limit-of-a-busy-program", time_limit_of_a_busy_program),
    ("interrupt", interrupt),
    ("interrupt-with-handler", interrupt_with_handler),
    ("interrupt-of-a-busy-program", interrupt_of_a_busy_program),
    ("at-a-terminal", at_a_terminal),
    ("terminated", terminated),
    (
        "killed-command-leaves-nothing",
        killed_command_leaves_nothing,
    ),
    ("wrong-usage", wrong_usage),
    ("help", help),
];

/// `pith run` on the usual board, without remarks about the accelerator.
pub fn run(workshop: &Workshop) -> Command {
    let mut command = workshop.pith("run");
    command.args(["--accel", accelerator()]);
    command
}

pub fn expect(
    command: &mut Command,
    status: &[i32],
    output: &str,
    error: &str,
) -> Result<Outcome, String> {
    let outcome = execute(command, &Handling::default())?;
    against_statement(&outcome, status, output, error)
        .map_err(|problem| format!("{problem}\ncommand: {command:?}"))?;
    Ok(outcome)
}

fn succeed(command: &mut Command) -> Result<Outcome, String> {
    let outcome = execute(command, &Handling::default())?;
    against_statement(&outcome, &[0], "", "").map_err(|problem| {
        let error = String::from_utf8_lossy(&outcome.error);
        format!("{problem}\ncommand: {command:?}\n{error}")
    })?;
    Ok(outcome)
}

pub fn ensure(condition: bool, problem: impl Into<String>) -> Result<(), String> {
    if condition {
        Ok(())
    } else {
        Err(problem.into())
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("can't write {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

/// Builds an image of a test program.
fn build(
    workshop: &Workshop,
    directory: &Path,
    program: &str,
    arguments: &[&str],
) -> Result<PathBuf, String> {
    let image = directory.join(format!("{program}.pith"));
    let path = workshop.program(program, Build::Static)?;
    succeed(
        workshop
            .pith("build")
            .arg("-o")
            .arg(&image)
            .arg("--")
            .arg(path)
            .args(arguments),
    )?;
    Ok(image)
}

/// Who `id` says that it is, by names and by numbers.
fn user(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("user")?;
    let (passwd, group) = (directory.join("passwd"), directory.join("group"));
    write(
        &passwd,
        "root:x:0:0::/root:/bin/sh\nalice:x:1001:2001::/home/alice:/bin/sh\n",
    )?;
    write(&group, "root:x:0:\nours:x:2001:\nmore:x:2002:alice\n")?;
    let files = [(passwd, "/etc/passwd"), (group, "/etc/group")]
        .map(|(host, guest)| format!("--file={}:{guest}", host.display()));
    for (account, identity, home) in [
        (
            "alice",
            "uid=1001(alice) gid=2001(ours) groups=2001(ours),2002(more)",
            "/home/alice",
        ),
        (
            "1001:more",
            "uid=1001(alice) gid=2002(more) groups=2002(more)",
            "/home/alice",
        ),
        ("1234:5678", "uid=1234 gid=5678 groups=5678", "/"),
    ] {
        // Nothing that root may do is left.
        let script =
            "id; echo $HOME; read line < /secret || echo refused; grep CapEff: /proc/self/status";
        let secret = directory.join("secret");
        write(&secret, "x\n")?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
            .map_err(|error| error.to_string())?;
        let output = format!("{identity}\n{home}\nrefused\nCapEff:\t0000000000000000\n");
        let outcome = succeed(
            run(workshop)
                .args(&files)
                .args([
                    "-q",
                    "--user",
                    account,
                    "--file",
                    "/usr/bin/id",
                    "--file",
                    "/usr/bin/grep",
                ])
                .arg(format!("--file={}:/secret", secret.display()))
                .args(["--", "/bin/sh", "-c", script]),
        )?;
        let found = String::from_utf8_lossy(&outcome.output).into_owned();
        ensure(found == output, format!("{account}: {found}"))?;
    }
    // The same of an image that lets its user be changed.
    let image = directory.join("open.pith");
    succeed(
        workshop
            .pith("build")
            .args(&files)
            .args(["--overridable", "user", "-o"])
            .arg(&image)
            .args(["--", "/bin/sh", "-c", "id; echo $HOME"]),
    )?;
    expect(
        run(workshop).args(["-q", "--user", "alice"]).arg(&image),
        &[0],
        "^uid=1001\\(alice\\) gid=2001\\(ours\\) groups=2001\\(ours\\),2002\\(more\\)\n/home/alice\n$",
        "^$",
    )?;
    for (account, problem) in [("bob", "is no user"), ("alice:theirs", "is no group")] {
        expect(
            run(workshop).args(&files).args(["--user", account, "id"]),
            &[125],
            "^$",
            problem,
        )?;
    }
    Ok(())
}

fn missing_program(workshop: &Workshop) -> Result<(), String> {
    expect(
        run(workshop).arg("/no/such/program"),
        &[127],
        "^$",
        "/no/such/program",
    )?;
    Ok(())
}

fn program_not_in_path(workshop: &Workshop) -> Result<(), String> {
    expect(
        run(workshop).arg("no-such-program"),
        &[127],
        "^$",
        "no-such-program.*PATH",
    )?;
    Ok(())
}

fn not_a_program(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("not-a-program")?;
    let path = directory.join("text");
    write(&path, "just text\n")?;
    expect(
        run(workshop).arg(&path),
        &[126],
        "^$",
        "text.*not a Linux program",
    )?;
    expect(run(workshop).arg(&directory), &[126], "^$", "directory")?;
    write(&path, "")?;
    expect(run(workshop).arg(&path), &[126], "^$", "text")?;
    Ok(())
}

/// The first bytes of an executable of this class (1: 32 bits, 2: 64 bits) and machine.
fn elf_header(class: u8, machine: u8) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    header[16] = 2;
    header[18] = machine;
    header[20] = 1;
    // Sizes of the header and of an entry of the program header table.
    let (size, entry) = if class == 1 { (40, 32) } else { (52, 56) };
    header[size] = if class == 1 { 52 } else { 64 };
    header[size + 2] = entry;
    header
}

fn foreign_programs(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("foreign-programs")?;
    for (name, class, machine, word) in [
        ("i386", 1, 3, "32"),
        ("x32", 1, 62, "32"),
        ("arm64", 2, 183, "(?i)aarch64|arm"),
        ("riscv", 2, 243, "(?i)risc"),
    ] {
        let path = directory.join(name);
        write(&path, elf_header(class, machine))?;
        expect(run(workshop).arg(&path), &[126], "^$", word)?;
    }
    Ok(())
}

fn truncated_program(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("truncated-program")?;
    let whole = read(&workshop.program("hello", Build::Static)?)?;
    let path = directory.join("truncated");
    for length in [5, 63, 100, 2000, whole.len() / 2] {
        write(&path, &whole[..length])?;
        let outcome = execute(run(workshop).arg(&path), &Handling::default())?;
        ensure(
            !outcome.timed_out && outcome.status != 0 && contains(&outcome.error, b"truncated"),
            format!("{length} bytes of a program: {outcome:?}"),
        )?;
    }
    Ok(())
}

/// Compiles a library and a program that is linked with it.
fn with_library(directory: &Path, options: &[&str]) -> Result<PathBuf, String> {
    let source = directory.join("source.c");
    let library = directory.join("libwanted.so");
    let program = directory.join("program");
    write(
        &source,
        "#include <stdio.h>\nint wanted(void);\n#ifdef LIBRARY\nint wanted(void) { return 7; }\n#else\n\
         int main(void) { printf(\"wanted %d\\n\", wanted()); return 0; }\n#endif\n",
    )?;
    succeed(
        Command::new("gcc")
            .args(["-shared", "-fPIC", "-DLIBRARY", "-o"])
            .arg(&library)
            .arg(&source),
    )?;
    succeed(
        Command::new("gcc")
            .arg("-o")
            .arg(&program)
            .args([&source, &library])
            .args(options),
    )?;
    Ok(program)
}

fn missing_library(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("missing-library")?;
    // Linked by path, the library's name would have a slash and be looked for there only.
    let program = with_library(&directory, &["-Wl,-rpath,/nowhere"])?;
    let library = directory.join("libwanted.so");
    fs::remove_file(&library).map_err(|error| error.to_string())?;
    expect(
        run(workshop).arg(&program),
        &[125, 126, 127],
        "^$",
        "libwanted",
    )?;
    Ok(())
}

fn library_by_origin(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("library-by-origin")?;
    let source = directory.join("source.c");
    with_library(&directory, &[])?;
    let program = directory.join("bin/program");
    make_directory(&directory.join("bin"))?;
    make_directory(&directory.join("lib"))?;
    fs::rename(
        directory.join("libwanted.so"),
        directory.join("lib/libwanted.so"),
    )
    .map_err(|error| error.to_string())?;
    succeed(
        Command::new("gcc")
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .arg("-L")
            .arg(directory.join("lib"))
            .args(["-lwanted", "-Wl,-rpath,$ORIGIN/../lib"]),
    )?;
    expect(run(workshop).arg(&program), &[0], "^wanted 7\n$", "^$")?;
    Ok(())
}

fn missing_file(workshop: &Workshop) -> Result<(), String> {
    expect(
        run(workshop).args(["--file", "/no/such/file", "/bin/true"]),
        &[125],
        "^$",
        "/no/such/file",
    )?;
    Ok(())
}

/// A program that fails is told what it looked for and this machine has.
fn lacking_file(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("lacking-file")?;
    let data = directory.join("data");
    write(&data, "here")?;
    let cat = |options: &[&str]| {
        let mut command = run(workshop);
        command.args(options).arg("cat").arg(&data);
        command.arg(directory.join("nowhere"));
        command
    };
    let refused = |name: &str| format!("cat: [^ ]*/{name}: No such file or directory\n");
    let both = refused("data") + &refused("nowhere");
    expect(
        &mut cat(&[]),
        &[1],
        "^$",
        &format!(
            "^{both}pith: note: the program looked for what this machine has and the image lacks; add what it needs \
             with --file: `{}`\n$",
            data.display()
        ),
    )?;
    expect(&mut cat(&["-q"]), &[1], "^$", &format!("^{both}$"))?;
    let file = data.to_string_lossy();
    expect(
        &mut cat(&["--file", &file]),
        &[1],
        "^here$",
        &format!("^{}$", refused("nowhere")),
    )?;
    // One that ends well needs no advice.
    let absent = directory.join("absent/file");
    write(&make(&directory.join("absent"))?.join("file"), "")?;
    expect(
        run(workshop).arg("test").arg("!").arg("-e").arg(absent),
        &[0],
        "^$",
        "^$",
    )?;
    Ok(())
}

fn manifest(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("manifest")?;
    fixture(&make(&directory.join("data"))?)?;
    write(
        &directory.join("pith.toml"),
        "program = \"/bin/sh\"\narguments = [\"-c\", \"while read line; do echo $GREETING $line; done < small.txt; exit 4\"]\n\
         working_directory = \"/srv\"\nmemory = \"96M\"\nfiles = [\"data:/srv\"]\n\n[environment]\nGREETING = \"read:\"\n",
    )?;
    let image = directory.join("image");
    succeed(
        workshop
            .pith("build")
            .arg("-f")
            .arg(directory.join("pith.toml"))
            .arg("-o")
            .arg(&image),
    )?;
    expect(
        run(workshop).arg(&image),
        &[4],
        "^read: small file\n$",
        "^$",
    )?;
    expect(
        run(workshop).arg("-f").arg(directory.join("pith.toml")),
        &[4],
        "^read: small file\n$",
        "^$",
    )?;
    Ok(())
}

fn make(path: &Path) -> Result<PathBuf, String> {
    make_directory(path)?;
    Ok(path.to_owned())
}

fn manifest_errors(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("manifest-errors")?;
    let path = directory.join("pith.toml");
    for (text, pattern) in [
        (
            "program = \"/bin/true\"\nprogramm = 1\n",
            "pith.toml:2.*programm",
        ),
        (
            "program = \"/bin/true\"\nfiles = [\"missing.txt\"]\n",
            "missing.txt",
        ),
        (
            "program = \"/bin/true\"\nmemory = \"lots\"\n",
            "pith.toml:2.*lots",
        ),
        ("arguments = []\n", "program"),
        ("program = \n", "pith.toml:1"),
    ] {
        write(&path, text)?;
        expect(
            workshop
                .pith("build")
                .arg("-f")
                .arg(&path)
                .arg("-o")
                .arg(directory.join("image")),
            &[125],
            "^$",
            pattern,
        )?;
        ensure(
            !directory.join("image").exists(),
            "an image was left behind",
        )?;
    }
    Ok(())
}

fn images_are_reproducible(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("reproducible")?;
    let data = make(&directory.join("data"))?;
    fixture(&data)?;
    let build = |name: &str, cwd: &Path| -> Result<Vec<u8>, String> {
        let image = directory.join(name);
        succeed(
            workshop
                .pith("build")
                .current_dir(cwd)
                .arg("--file")
                .arg(&data)
                .args(["-e", "B=2", "-e", "A=1", "-o"])
                .arg(&image)
                .args(["--", "/usr/bin/python3", "-c", "print(1)"]),
        )?;
        read(&image)
    };
    let first = build("first", Path::new("/"))?;
    thread::sleep(Duration::from_millis(1100));
    let second = build("second", &directory)?;
    ensure(first == second, "two builds of the same differ")
}

fn images_run(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("images-run")?;
    let image = build(workshop, &directory, "hello", &[])?;
    let size = read(&image)?.len();
    for machine in ["microvm", "q35"] {
        expect(
            run(workshop).args(["--machine", machine]).arg(&image),
            &[0],
            "^hello from C\n$",
            "^$",
        )?;
    }
    ensure(
        size < 3 << 20,
        format!("the image of hello has {size} bytes; it should stay below 3 MiB"),
    )
}

fn image_arguments(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("image-arguments")?;
    // What an image does not allow is refused, not ignored.
    let fixed = build(workshop, &directory, "exit_status", &["5"])?;
    expect(run(workshop).arg(&fixed), &[5], "^$", "^$")?;
    expect(
        run(workshop).arg(&fixed).arg("6"),
        &[125],
        "^$",
        "overridable|argument",
    )?;
    let open = directory.join("open.pith");
    succeed(
        workshop
            .pith("build")
            .args(["--overridable", "arguments", "-o"])
            .arg(&open)
            .arg("--")
            .arg(workshop.program("exit_status", Build::Static)?)
            .arg("5"),
    )?;
    expect(run(workshop).arg(&open), &[5], "^$", "^$")?;
    expect(run(workshop).arg(&open).arg("6"), &[6], "^$", "^$")?;
    Ok(())
}

/// An image is built in the directory of its application, twice, and holds no image of last time.
fn image_built_inside_its_application(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("image-built-inside-its-application")?;
    write(
        &directory.join("app.sh"),
        b"read line < part; echo \"$line\"\n",
    )?;
    write(&directory.join("part"), b"taken\n")?;
    let mut built = Vec::new();
    for _ in 0..2 {
        let mut pith = workshop.pith("build");
        pith.current_dir(&directory);
        succeed(pith.args(["-o", "app.pith", "--", "/bin/sh", "app.sh"]))?;
        built.push(read(&directory.join("app.pith"))?.len());
    }
    // The directory itself has another date.
    ensure(built[0] == built[1], "the second image has another size")?;
    expect(
        run(workshop).arg(directory.join("app.pith")),
        &[0],
        "^taken\n$",
        "^$",
    )?;
    Ok(())
}

/// `env` and the like bring the program that they start, with its application, and `perl` the modules that it uses.
fn commands_that_start_others(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("commands-that-start-others")?;
    let source = b"use Part; use List::Util 'sum'; print Part::name(), sum(1, 2, 3), \"\\n\";\n";
    write(&directory.join("app.pl"), source)?;
    write(
        &directory.join("Part.pm"),
        b"package Part; sub name { $ENV{NAME} } 1;\n",
    )?;
    let mut pith = run(workshop);
    pith.current_dir(&directory);
    pith.args(["-q", "--", "env", "NAME=part", "timeout", "60"]);
    expect(
        pith.args(["perl", "-I.", "app.pl"]),
        &[0],
        "^part6\n$",
        "^$",
    )?;
    Ok(())
}

/// Libraries that are found only from where the program is typed, linked with it or opened by it.
fn library_beside_the_program(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("library-beside-the-program")?;
    let sources: [(&str, &[u8]); 2] = [
        ("number.c", b"int number(void) { return 42; }\n"),
        (
            "program.c",
            b"#include <dlfcn.h>\nint number(void);\nint main(void) {\n\
              int (*other)(void) = (int (*)(void))dlsym(dlopen(\"./other.so\", RTLD_NOW), \"number\");\n\
              return number() - other();\n}\n",
        ),
    ];
    for (name, source) in sources {
        write(&directory.join(name), source)?;
    }
    for arguments in [
        &["-shared", "-fPIC", "-o", "number.so", "number.c"][..],
        &["-shared", "-fPIC", "-o", "other.so", "number.c"],
        &["-o", "program", "program.c", "./number.so"],
    ] {
        let mut gcc = Command::new("gcc");
        succeed(gcc.current_dir(&directory).args(arguments))?;
    }
    let mut pith = run(workshop);
    pith.current_dir(&directory);
    expect(pith.args(["--", "./program"]), &[0], "^$", "^$")?;
    Ok(())
}

fn damaged_images(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("damaged-images")?;
    let image = build(workshop, &directory, "hello", &[])?;
    let whole = read(&image)?;
    let damaged = directory.join("damaged.pith");

    let mut flipped = whole.clone();
    let last = flipped.len() - 5000;
    flipped[last] ^= 1;
    write(&damaged, &flipped)?;
    let outcome = execute(workshop.pith("inspect").arg(&damaged), &Handling::default())?;
    ensure(
        outcome.status == 125 && contains(&outcome.error, b"damaged.pith"),
        format!("inspection of a damaged image: {outcome:?}"),
    )?;
    for length in [100, 5000, whole.len() / 2, whole.len() - 4096] {
        write(&damaged, &whole[..length])?;
        for subcommand in ["inspect", "run"] {
            let outcome = execute(
                workshop.pith(subcommand).arg(&damaged),
                &Handling::default(),
            )?;
            ensure(
                !outcome.timed_out
                    && [125, 126].contains(&outcome.status)
                    && !outcome.error.is_empty(),
                format!("{subcommand} of an image cut to {length} bytes: {outcome:?}"),
            )?;
        }
    }
    Ok(())
}

fn inspection(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("inspection")?;
    let image = build(workshop, &directory, "hello", &[])?;
    let program = workshop.program("hello", Build::Static)?;
    let text = succeed(workshop.pith("inspect").arg(&image))?.output;
    for part in [
        program.as_os_str().as_encoded_bytes(),
        b"kernel",
        b"/etc/passwd",
        b"sha256",
    ] {
        ensure(
            contains(&text, part),
            format!("inspect does not show {}", String::from_utf8_lossy(part)),
        )?;
    }
    let json = succeed(workshop.pith("inspect").arg("--json").arg(&image))?.output;
    let value: serde_json::Value = serde_json::from_slice(&json)
        .map_err(|error| format!("inspect --json is no JSON: {error}"))?;
    ensure(
        value["configuration"]["program"].as_str() == program.to_str(),
        format!(
            "inspect --json names another program: {}",
            value["configuration"]
        ),
    )?;
    let size = fs::metadata(&program)
        .map_err(|error| error.to_string())?
        .len();
    let listed = value["files"].as_array().is_some_and(|files| {
        files.iter().any(|file| {
            file["path"].as_str() == program.to_str() && file["size"].as_u64() == Some(size)
        })
    });
    ensure(
        listed,
        "inspect --json does not list the program with its size",
    )
}

fn trace(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("hello", Build::Static)?;
    expect(
        run(workshop).args(["--trace", "--"]).arg(program),
        &[0],
        "^hello from C\n$",
        r#"(?s)write\(1, "hello from C\\n", 13\) += 13.*exit_group\(0\)"#,
    )?;
    Ok(())
}

fn statistics(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("exit_status", Build::Static)?;
    let outcome = expect(
        run(workshop)
            .args(["--stats=json", "--"])
            .arg(program)
            .arg("3"),
        &[3],
        "^$",
        "",
    )?;
    let value: serde_json::Value = serde_json::from_slice(&outcome.error)
        .map_err(|error| format!("--stats=json is no JSON: {error}"))?;
    ensure(
        value["status"] == 3
            && value["guest"]["entry_to_program"]
                .as_f64()
                .is_some_and(|time| time > 0.0)
            && value["guest"]["memory_peak"]
                .as_u64()
                .is_some_and(|bytes| bytes > 1 << 16),
        format!("figures are missing: {value}"),
    )
}

fn accelerator_is_announced_once(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("hello", Build::Static)?;
    let outcome = expect(
        workshop.pith("run").arg(program),
        &[0],
        "^hello from C\n$",
        "",
    )?;
    let remarks = String::from_utf8_lossy(&outcome.error).lines().count();
    let expected = usize::from(accelerator() == "tcg");
    ensure(
        remarks == expected,
        format!(
            "{remarks} remarks about the accelerator instead of {expected}: {}",
            String::from_utf8_lossy(&outcome.error)
        ),
    )
}

fn time_limit(workshop: &Workshop) -> Result<(), String> {
    let start = Instant::now();
    expect(
        run(workshop).args(["--timeout", "2s", "--", "/bin/sleep", "100"]),
        &[124],
        "^$",
        "timeout",
    )?;
    ensure(
        start.elapsed() < Duration::from_secs(20),
        "the limit came much too late",
    )
}

fn time_limit_of_a_busy_program(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("interrupted", Build::Static)?;
    expect(
        run(workshop)
            .args(["--timeout", "2s", "--"])
            .arg(program)
            .arg("busy"),
        &[124],
        "^ready\n$",
        "timeout",
    )?;
    Ok(())
}

/// Sends a signal to `pith` once the program is ready.
fn signalled(workshop: &Workshop, how: &str, signal: Signal) -> Result<Outcome, String> {
    let program = workshop.program("interrupted", Build::Dynamic)?;
    execute(
        run(workshop).arg("--").arg(program).arg(how),
        &Handling {
            signal: Some((b"ready", signal)),
            limit: Duration::from_secs(40),
            ..Handling::default()
        },
    )
}

fn interrupt(workshop: &Workshop) -> Result<(), String> {
    let outcome = signalled(workshop, "default", Signal::INT)?;
    against_statement(&outcome, &[130], "^ready\n$", "^$")
}

fn interrupt_with_handler(workshop: &Workshop) -> Result<(), String> {
    let outcome = signalled(workshop, "handler", Signal::INT)?;
    against_statement(
        &outcome,
        &[7],
        "^ready\ninterrupted: yes, slept to the end: no\n$",
        "^$",
    )
}

fn interrupt_of_a_busy_program(workshop: &Workshop) -> Result<(), String> {
    let outcome = signalled(workshop, "busy", Signal::INT)?;
    against_statement(&outcome, &[130], "^ready\n$", "^$")
}

/// A program at the user's terminal sees the same there, and leaves the same on it, as on the host.
fn at_a_terminal(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("at_terminal", Build::Dynamic)?;
    let typist = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/at_terminal.py");
    let typed_to = |command: &Command| {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(&typist).arg(command.get_program());
        python.args(command.get_args());
        for (name, value) in command.get_envs() {
            python.env(name, value.unwrap_or_default());
        }
        execute(&mut python, &Handling::default())
    };
    let on_host = typed_to(&Command::new(&program))?;
    let mut pith = run(workshop);
    pith.arg("--").arg(&program);
    let in_machine = typed_to(&pith)?;
    ensure(
        on_host.output == in_machine.output && contains(&on_host.output, b"status 7 left 0"),
        format!(
            "the screen of the machine:\n{}\nand of the host:\n{}\nerrors: {}",
            String::from_utf8_lossy(&in_machine.output),
            String::from_utf8_lossy(&on_host.output),
            String::from_utf8_lossy(&in_machine.error),
        ),
    )
}

fn terminated(workshop: &Workshop) -> Result<(), String> {
    let outcome = signalled(workshop, "default", Signal::TERM)?;
    against_statement(&outcome, &[143], "^ready\n$", "")
}

/// Whether any process has this path among its arguments.
fn in_use(path: &Path) -> bool {
    let needle = path.as_os_str().as_encoded_bytes();
    fs::read_dir("/proc").is_ok_and(|entries| {
        entries
            .flatten()
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .any(|arguments| contains(&arguments, needle))
    })
}

fn killed_command_leaves_nothing(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("killed-command")?;
    let image = build(workshop, &directory, "interrupted", &["default"])?;
    let mut child = run(workshop)
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut ready = [0; 5];
    let greeted = child
        .stdout
        .take()
        .ok_or("no standard output")
        .map(|mut output| std::io::Read::read_exact(&mut output, &mut ready).is_ok());
    let machine_was_there = in_use(&image);
    kill_process(pid(&child)?, Signal::KILL).map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    ensure(
        greeted? && &ready == b"ready" && machine_was_there && shell_status(status) == 137,
        format!("the machine did not start: {status}"),
    )?;
    let start = Instant::now();
    while in_use(&image) {
        ensure(
            start.elapsed() < Duration::from_secs(10),
            format!("a process still uses {}", image.display()),
        )?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The machine's wall clock is the host's: what it shows lies between what the host's showed before and after the question,
/// but for what a few switches between host and machine take.
fn wall_clock(workshop: &Workshop) -> Result<(), String> {
    const ALLOWED: Duration = Duration::from_millis(10);
    let program = workshop.program("asked_time", Build::Dynamic)?;
    let mut child = run(workshop)
        .arg("--")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut questions = child.stdin.take().ok_or("no standard input")?;
    let output = child.stdout.take().ok_or("no standard output")?;
    let mut answers = BufReader::new(output).lines();
    let mut next = || {
        answers
            .next()
            .and_then(Result::ok)
            .ok_or("the machine says nothing")
    };
    ensure(next()? == "ready", "the program did not start".to_string())?;
    let since_1970 = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|error| error.to_string())
    };
    let mut found = Vec::new();
    for _ in 0..5 {
        let before = since_1970()?;
        questions
            .write_all(b"?")
            .map_err(|error| error.to_string())?;
        let shown = Duration::from_nanos(
            next()?
                .parse()
                .map_err(|error| format!("no time: {error}"))?,
        );
        let after = since_1970()?;
        found.push((
            shown + ALLOWED >= before && shown <= after + ALLOWED,
            before,
            shown,
            after,
        ));
    }
    drop(questions);
    let status = child.wait().map_err(|error| error.to_string())?;
    ensure(status.success(), format!("the program ended with {status}"))?;
    // A question may meet a pause of the host; the clock is not to blame for that.
    let right = found.iter().filter(|(right, ..)| *right).count();
    ensure(right >= 3, format!("before, shown and after: {found:?}"))
}

fn wrong_usage(workshop: &Workshop) -> Result<(), String> {
    expect(
        run(workshop).args(["--no-such-option", "x"]),
        &[2],
        "^$",
        "no-such-option",
    )?;
    expect(
        run(workshop).args(["-m", "plenty", "x"]),
        &[2],
        "^$",
        "plenty",
    )?;
    expect(
        workshop.pith("no-such-subcommand").arg("x"),
        &[2],
        "^$",
        "no-such-subcommand",
    )?;
    Ok(())
}

fn help(workshop: &Workshop) -> Result<(), String> {
    expect(
        workshop.pith("--help").stdin(Stdio::null()),
        &[0],
        "pith",
        "^$",
    )?;
    expect(
        workshop.pith("--version").stdin(Stdio::null()),
        &[0],
        "^pith [0-9]",
        "^$",
    )?;
    Ok(())
}
