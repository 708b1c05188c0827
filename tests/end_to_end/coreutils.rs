//! GNU coreutils as Debian ships them: dynamic programs.

use pith_end_to_end::Case;

fn tool(name: &str, program: &str, arguments: &[&str]) -> Case {
    let base = program.rsplit('/').next().unwrap_or(program);
    let suffix = if name.is_empty() {
        base.to_owned()
    } else {
        format!("{base}-{name}")
    };
    Case::new(format!("coreutils::{suffix}"), program, arguments)
}

/// `ls -l` shows what file systems count in their own ways.
fn list(name: &str, arguments: &[&str]) -> Case {
    tool(name, "/bin/ls", arguments)
        .fixture()
        .tolerate("blocks are counted differently", r"^total \d+$", "total N")
        .tolerate(
            "file systems give directories different sizes",
            r"^(d\S+\s+\d+ \S+ +\S+) +\d+ ",
            "$1 N ",
        )
        .tolerate(
            "a line's width follows its widest neighbour",
            r" +(\S+) +(\S+) +(\S+) +(\S+) (\d\d\d\d-)",
            " $1 $2 $3 $4 $5",
        )
        .tolerate(
            "the parent directory holds less in the image",
            r"^.* \.\.$",
            "..",
        )
}

const STAT_FORMAT: &str = "%n %s %a %A %h %u %U %g %G %F %Y %y";
const TREE_TIME: &str = "--time-style=full-iso";

pub fn cases() -> Vec<Case> {
    vec![
        list("all", &["-la", TREE_TIME, "{fixture}"]).on_q35_too(),
        list("recursive", &["-lR", TREE_TIME, "{fixture}/directory"]),
        list(
            "missing",
            &["-l", TREE_TIME, "{fixture}/small.txt", "{fixture}/missing"],
        ),
        tool("unsorted", "/bin/ls", &["-U", "{fixture}"])
            .fixture()
            .unordered(),
        tool("links", "/bin/ls", &["-1F", "{fixture}"]).fixture(),
        tool(
            "",
            "/bin/cat",
            &["{fixture}/poem.txt", "{fixture}/large.bin"],
        )
        .fixture(),
        tool("input", "/bin/cat", &[])
            .input(vec![b'.'; 2_000_000])
            .on_q35_too(),
        tool(
            "mixed",
            "/bin/cat",
            &["{fixture}/small.txt", "-", "{fixture}/missing"],
        )
        .fixture()
        .input("in between\n"),
        tool("directory", "/bin/cat", &["{fixture}/directory"]).fixture(),
        tool("", "/usr/bin/sort", &["{fixture}/numbers.txt"]).fixture(),
        tool(
            "numeric",
            "/usr/bin/sort",
            &["-rn", "-u", "{fixture}/numbers.txt"],
        )
        .fixture(),
        tool(
            "",
            "/usr/bin/sha256sum",
            &[
                "{fixture}/large.bin",
                "{fixture}/empty",
                "{fixture}/poem.txt",
            ],
        )
        .fixture()
        .on_q35_too(),
        tool("check", "/usr/bin/sha256sum", &["-c"]).input(
            "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b  /dev/stdin\n",
        ),
        tool(
            "format",
            "/usr/bin/stat",
            &[
                "-c",
                STAT_FORMAT,
                "{fixture}/large.bin",
                "{fixture}/empty",
                "{fixture}/loop",
            ],
        )
        .fixture(),
        tool("full", "/usr/bin/stat", &["{fixture}/small.txt"])
            .fixture()
            .tolerate(
                "numbers of inodes and devices",
                r"Device: .*Links",
                "Device: D\tInode: I\tLinks",
            )
            .tolerate(
                "block sizes and counts",
                r"Blocks: \d+ +IO Block: \d+",
                "Blocks: N IO Block: N",
            )
            .tolerate(
                "access and change are not stored in an image",
                r"^(Access: \d|Change:| Birth:).*",
                "TIME",
            ),
        tool(
            "directory",
            "/usr/bin/stat",
            &["-L", "-c", "%n %a %F %Y", "{fixture}/link-to-directory"],
        )
        .fixture(),
        tool("missing", "/usr/bin/stat", &["{fixture}/missing"]).fixture(),
        tool("", "/usr/bin/env", &[])
            .variable("ONE", "1")
            .variable("EMPTY", "")
            .variable("SPACED", "a b  c")
            .unordered()
            .on_q35_too(),
        tool(
            "executes",
            "/usr/bin/env",
            &["A=1", "B=two words", "/usr/bin/printenv", "A", "B"],
        )
        .file("/usr/bin/printenv"),
        tool("executes-nothing", "/usr/bin/env", &["/no/such/program"]),
        tool("", "/usr/bin/printenv", &["HOME", "MISSING", "LANG"]),
        tool(
            "",
            "/bin/dd",
            &[
                "if={fixture}/large.bin",
                "bs=1000",
                "skip=3",
                "count=1000",
                "status=none",
            ],
        )
        .fixture(),
        // How a pipe's bytes fall into reads is a matter of timing, on Linux too: dd is told to fill its blocks.
        tool("statistics", "/bin/dd", &["bs=4096", "iflag=fullblock"])
            .input(vec![b'd'; 100_000])
            .tolerate("time and speed", r"copied, .*", "copied"),
        tool(
            "zero",
            "/bin/dd",
            &[
                "if=/dev/zero",
                "of=/dev/null",
                "bs=64k",
                "count=100",
                "status=none",
            ],
        ),
        tool(
            "file",
            "/bin/dd",
            &[
                "if=/dev/zero",
                "of={fixture}/out",
                "bs=100",
                "seek=5",
                "count=3",
                "status=none",
            ],
        )
        .fixture(),
        tool(
            "",
            "/usr/bin/head",
            &["-n", "5", "{fixture}/numbers.txt", "{fixture}/poem.txt"],
        )
        .fixture(),
        tool("", "/usr/bin/tail", &["-c", "1000", "{fixture}/large.bin"]).fixture(),
        tool(
            "",
            "/usr/bin/wc",
            &["{fixture}/poem.txt", "{fixture}/large.bin"],
        )
        .fixture(),
        tool("", "/usr/bin/cut", &["-d,", "-f2", "{fixture}/table.csv"]).fixture(),
        tool("", "/usr/bin/seq", &["-s", " ", "0", "0.25", "3"]),
        tool("", "/usr/bin/od", &["-c", "{fixture}/poem.txt"]).fixture(),
        tool("", "/usr/bin/md5sum", &["{fixture}/large.bin"]).fixture(),
        tool("", "/usr/bin/b2sum", &["{fixture}/large.bin"]).fixture(),
        tool("", "/usr/bin/base64", &["-w", "60", "{fixture}/poem.txt"]).fixture(),
        tool(
            "",
            "/usr/bin/factor",
            &["1000000007", "18446744073709551557", "720720"],
        ),
        tool("", "/usr/bin/numfmt", &["--to=iec", "123456789"]),
        tool("", "/bin/date", &["-u", "-d", "@1234567890", "+%F %T %A"]),
        tool(
            "",
            "/usr/bin/printf",
            &["%s %05d %x %q\\n", "text", "42", "255", "a b"],
        ),
        tool("", "/bin/echo", &["-e", "tab\\there", "two  spaces", ""]),
        tool("", "/usr/bin/tac", &["{fixture}/numbers.txt"]).fixture(),
        tool("", "/usr/bin/nl", &["{fixture}/poem.txt"]).fixture(),
        tool(
            "",
            "/usr/bin/realpath",
            &["{fixture}/link-to-directory/../link-to-small"],
        )
        .fixture(),
        tool(
            "",
            "/bin/readlink",
            &["{fixture}/link-to-small", "{fixture}/dangling"],
        )
        .fixture(),
        tool("", "/usr/bin/tee", &["{fixture}/small.txt"])
            .fixture()
            .input("both ways\n"),
        tool("", "/bin/mkdir", &["-pv", "a/b/c", "directory"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/rm", &["-rv", "directory/deeper", "missing"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/mv", &["-v", "small.txt", "directory"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/cp", &["-v", "large.bin", "copy.bin"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/ln", &["-sv", "small.txt", "another"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/touch", &["small.txt", "fresh"])
            .fixture()
            .working_directory("{fixture}"),
        tool("", "/bin/pwd", &[])
            .fixture()
            .working_directory("{fixture}/directory"),
        tool("", "/bin/uname", &["-s", "-m", "-o"]),
        tool("", "/bin/sleep", &["0.05"]),
        tool("", "/bin/true", &[]).on_q35_too(),
        tool("", "/bin/false", &[]).on_q35_too(),
        tool("unknown-option", "/bin/true", &["--help"]),
        tool("wrong-option", "/bin/cat", &["--no-such-option"]),
        tool("closed-output", "/usr/bin/yes", &["again"]).output_limit(100_000),
    ]
}
