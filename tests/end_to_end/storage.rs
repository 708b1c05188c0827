//! File systems in memory with limits: what Linux's tmpfs answers when it is full, where they are mounted, and many files.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{ensure, expect, run};
use pith_end_to_end::Workshop;
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::execute::{Handling, Outcome, execute};
use pith_end_to_end::workshop::Build;

type Check = fn(&Workshop) -> Result<(), String>;

/// All of them, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("full-as-on-linux", |workshop| {
        let options = "size=256k,nr_inodes=24";
        as_on_linux(workshop, "full", options, &[])
    }),
    ("full-above-the-image", full_above_the_image),
    ("removed-directories-in-a-chain", |workshop| {
        as_on_linux(workshop, "full", "size=1m", &["2500"])
    }),
    ("many-files-in-one-directory", |workshop| {
        as_on_linux(workshop, "many_files", "nr_inodes=0", &["", "8000", "1"])
    }),
    ("many-files-in-many-directories", |workshop| {
        as_on_linux(workshop, "many_files", "nr_inodes=0", &["", "8000", "100"])
    }),
    ("mounts", mounts),
    ("manifest", manifest),
    ("defaults", defaults),
];

/// Runs a test program in a tmpfs with these options on both sides, and compares what it says. The place is its argument
/// at the empty one, or else the last.
fn as_on_linux(
    workshop: &Workshop,
    program: &str,
    options: &str,
    arguments: &[&str],
) -> Result<(), String> {
    let place = workshop.directory_for(&format!("tmpfs-{program}-{}", arguments.join("-")))?;
    let place = place.display().to_string();
    let path = workshop.program(program, Build::Static)?;
    let mut arguments: Vec<&str> = arguments.to_vec();
    match arguments.iter_mut().find(|argument| argument.is_empty()) {
        Some(argument) => *argument = &place,
        None => arguments.push(&place),
    }
    let script = format!("mount -t tmpfs -o {options} tmpfs '{place}' && cd / && exec \"$@\"");
    // A mount of its own, which goes with the program.
    let mut host = Command::new("unshare");
    host.args(["-rm", "sh", "-c", &script, "sh"])
        .arg(&path)
        .args(&arguments);
    let mut guest = workshop.pith("run");
    guest
        .args(["--accel", accelerator(), "-m", "192M"])
        .args(["--tmpfs", &format!("{place}:{options}"), "--"])
        .arg(&path)
        .args(&arguments);
    let handling = Handling::default();
    let expected = execute(&mut host, &handling)?;
    let found = execute(&mut guest, &handling)?;
    let shown = |outcome: &Outcome| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "status {}\n{}{}",
            outcome.status,
            text(&outcome.output),
            text(&outcome.error)
        )
    };
    let (expected, found) = (shown(&expected), shown(&found));
    let differs = expected
        .lines()
        .zip(found.lines())
        .find(|(one, other)| one != other);
    ensure(
        expected == found && expected.starts_with("status 0\n"),
        format!("the first line that differs: {differs:?}\nLinux: {expected}\nPith: {found}"),
    )
}

fn full_above_the_image(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("full-above")?;
    let file = directory.join("data");
    let content: Vec<u8> = (0..600_000_u32).map(|number| (number / 7) as u8).collect();
    fs::write(&file, content).map_err(|error| error.to_string())?;
    let file = file.display().to_string();
    expect(
        run(workshop)
            .args(["--storage-opt", "size=64k", "--file", &file, "--"])
            .arg(workshop.program("full", Build::Static)?)
            .args(["above", &file, "/tmp"]),
        &[0],
        r#"^16 of 16 blocks free
pwrite\(file, "x", 1, 0\): 1
15 of 16 blocks free
pwrite\(file, buffer, BUFFER, 0\): 65536
pwrite\(file, "x", 1, BUFFER\): -1, No space left on device
signal 7, code 2
stores\(memory \+ 32 \* PAGE, 1\): 0
last == buffer\[0\]: yes
write\(other, "x", 1\): -1, No space left on device
rename\(path, "moved"\): 0
unlink\("moved"\): 0
ftruncate\(other, 2 \* PAGE\): 0
signal 7, code 2
stores\(memory, 3\): 2
write\(other, buffer, BUFFER\): 65536
0 of 16 blocks free
$"#,
        "^$",
    )?;
    Ok(())
}

fn mounts(workshop: &Workshop) -> Result<(), String> {
    let with = |options: &[&str], command: &[&str], output: &str| {
        let mut words = run(workshop);
        words.args(options).arg("--").args(command);
        expect(&mut words, &[0], output, "^$").map(|_| ())
    };
    with(
        &[
            "--tmpfs",
            "/tmp:size=1m,nr_inodes=40,mode=700",
            "--tmpfs",
            "/not/there:uid=5,gid=6",
            "--tmpfs",
            "/var/run",
            "--tmpfs",
            "/dev/shm:size=2m",
        ],
        &["cat", "/etc/mtab", "/proc/self/mountinfo"],
        r"(?s)^overlay / overlay rw,relatime 0 0
.*tmpfs /dev/shm tmpfs rw,nosuid,nodev,relatime,size=2048k 0 0
tmpfs /tmp tmpfs rw,relatime,size=1024k,nr_inodes=40,mode=700 0 0
tmpfs /not/there tmpfs rw,relatime,uid=5,gid=6 0 0
tmpfs /var/run tmpfs rw,relatime 0 0
1 0 0:\d+ / / rw,relatime - overlay overlay rw
.*\d 1 0:\d+ / /tmp rw,relatime - tmpfs tmpfs rw,size=1024k,nr_inodes=40,mode=700
\d+ 1 0:\d+ / /not/there rw,relatime - tmpfs tmpfs rw,uid=5,gid=6
",
    )?;
    with(
        &["--tmpfs", "/tmp:mode=700,uid=5,gid=6"],
        &["stat", "-c", "%a %u %g", "/tmp", "/tmp/.."],
        "^700 5 6\n755 0 0\n$",
    )?;
    with(
        &[
            "--tmpfs",
            "/tmp:size=3m",
            "--storage-opt",
            "size=25%",
            "-m",
            "64M",
            // A link into the host's /proc: the machine has its own.
            "--file",
            "/etc/mtab",
        ],
        &["df", "-k", "--output=size,used,target", "/tmp"],
        r"^ *1K-blocks +Used Mounted on\n +3072 +0 /tmp\n$",
    )?;
    // Names can't go from one to the other.
    expect(
        run(workshop).args(["--tmpfs", "/var", "--", "ln", "/etc/passwd", "/var/x"]),
        &[1],
        "^$",
        "Invalid cross-device link\n$",
    )?;
    for (option, problem) in [
        ("/tmp:size=x", "is no size"),
        ("/proc", "kernel's own"),
        ("tmp", "no absolute path"),
    ] {
        expect(
            run(workshop).args(["--tmpfs", option, "--", "true"]),
            &[2],
            "^$",
            problem,
        )?;
    }
    expect(
        run(workshop).args(["--tmpfs", "/etc/passwd", "--", "true"]),
        &[125, 126],
        "^$",
        "/etc/passwd: .*(ENOTDIR|[Nn]ot a directory)",
    )?;
    Ok(())
}

/// `pith.toml`, and what may be changed of it.
fn manifest(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("storage-manifest")?;
    let text = |more: &str| {
        format!(
            "program = 'df'\narguments = ['-k', '--output=size,target', '/', '/run']\n\
             storage = 'size=8m'\ntmpfs = ['/run:size=2m']\n{more}"
        )
    };
    let write = |name: &str, content: String| {
        let path = directory.join(name);
        fs::write(&path, content).map_err(|error| error.to_string())?;
        Ok::<_, String>(path)
    };
    let build = |manifest: &Path, image: &Path| {
        let mut command = workshop.pith("build");
        command.arg("-f").arg(manifest).arg("-o").arg(image);
        expect(&mut command, &[0], "sha256", "")
    };
    let sizes = |first: u32, second: u32| {
        format!(r"^ *1K-blocks Mounted on\n +{first} /\n +{second} /run\n$")
    };
    let fixed = directory.join("fixed.pith");
    build(&write("fixed.toml", text(""))?, &fixed)?;
    expect(run(workshop).arg(&fixed), &[0], &sizes(8192, 2048), "^$")?;
    expect(
        run(workshop).args(["--tmpfs", "/run:size=4m"]).arg(&fixed),
        &[125],
        "^$",
        "overridable = ..storage",
    )?;
    let open = directory.join("open.pith");
    build(
        &write("open.toml", text("overridable = ['storage']"))?,
        &open,
    )?;
    expect(
        run(workshop).args(["--tmpfs", "/run:size=4m"]).arg(&open),
        &[0],
        &sizes(8192, 4096),
        "^$",
    )?;
    Ok(())
}

/// Half of memory, a file for every two pages; and a machine that goes on when that is full.
fn defaults(workshop: &Workshop) -> Result<(), String> {
    let script = "\
import os
status = os.statvfs('/tmp')
memory = int(open('/proc/meminfo').readline().split()[1]) * 1024
print(abs(status.f_blocks * 4096 / memory - 0.5) < 0.02, abs(status.f_files * 8192 / memory - 1) < 0.02)
with open('/tmp/large', 'wb', buffering=0) as file:
    written = 0
    try:
        while True:
            written += file.write(bytes(1 << 16))
    except OSError as error:
        print(error)
print(written == os.stat('/tmp/large').st_size, written == status.f_blocks * 4096, os.statvfs('/tmp').f_bfree)
os.unlink('/tmp/large')
print(os.statvfs('/tmp').f_bfree > status.f_blocks / 2, len(bytes(20 << 20)))
";
    expect(
        run(workshop).args(["-q", "-m", "192M", "--", "python3", "-c", script]),
        &[0],
        r"^True True\n\[Errno 28\] No space left on device\nTrue True 0\nTrue 20971520\n$",
        "^$",
    )?;
    Ok(())
}
