//! Busybox: one static program that is a whole userland.

use pith_end_to_end::Case;

/// One applet with its arguments.
fn applet(name: &str, arguments: &[&str]) -> Case {
    let applet = arguments.first().copied().unwrap_or_default();
    let suffix = if name.is_empty() {
        applet.to_owned()
    } else {
        format!("{applet}-{name}")
    };
    Case::new(format!("busybox::{suffix}"), "/bin/busybox", arguments)
}

const LOOP: &str = "i=0; s=0; while [ $i -lt 3000 ]; do i=$((i+1)); s=$((s+i*i)); done; echo $i $s";
const FUNCTIONS: &str = r#"f() { if [ $1 -lt 2 ]; then r=$1; return; fi; set -- $1 0; r=1; n=$1; a=0
while [ $n -gt 1 ]; do t=$r; r=$((r+a)); a=$t; n=$((n-1)); done; }
for n in 1 2 10 50; do f $n; echo "fib $n = $r"; done
case abc in a*c) echo matched;; esac; x=hello.world; echo "${x%.*} ${x#*.} ${#x}"
read first rest <<END
one two three
END
echo "$first|$rest"; exit 3"#;

/// Commands that are processes of their own: pipelines, substitutions, the background, signals, subshells.
const PIPELINES: &str = r#"seq 1 200 | grep 7 | sort -rn | head -n 3 | tr '\n' ' '; echo
echo "$(printf '%s\n' c a b | sort | tr -d '\n') $(echo nested $(echo "in $(echo itself)"))"
echo by name | { sleep 0.05; cat /dev/stdin; }
false | true; echo "status $?"; (exit 5); echo "subshell $?"
sleep 0.05 & first=$!; (sleep 0.01; exit 9) & wait $!; echo "waited $?"; wait $first; echo "and $?"
trap 'echo trapped' USR1; kill -USR1 $$; sh -c 'kill -TERM $$'; echo "killed $?"
x=1; (x=2; echo "inside $x"); echo "outside $x"; cat <<END | wc -l
one
two
END
for i in 1 2 3 4 5 6 7 8; do (echo $((i * i))) & done | sort -n | tail -n 1; wait
yes | head -n 1; echo done | xargs -n 1 echo last; exit 6"#;

pub fn cases() -> Vec<Case> {
    vec![
        applet("pipelines", &["sh", "-c", PIPELINES]).on_several_processors(),
        applet(
            "arithmetic",
            &[
                "sh",
                "-c",
                "echo $((6*7)) $((1<<40)) $((-7/2)) $((0x1f % 10))",
            ],
        )
        .on_q35_too(),
        applet("loop", &["sh", "-c", LOOP]),
        applet("functions", &["sh", "-c", FUNCTIONS]),
        applet(
            "redirection",
            &[
                "sh",
                "-c",
                "cd {fixture}; echo one > f; echo two >> f; while read l; do echo got $l; done < f",
            ],
        )
        .fixture(),
        // Words of a poem are no commands, least of all where there are none to be found.
        applet("script", &["sh", "{fixture}/poem.txt"])
            .variable("PATH", "/nowhere")
            .fixture(),
        applet("missing-command", &["sh", "-c", "exec /no/such/command"]),
        applet("status", &["sh", "-c", "exit 77"]),
        applet("input", &["sh"]).input("echo from standard input; exit 5\n"),
        applet(
            "compute",
            &[
                "awk",
                "BEGIN { for (i = 1; i <= 20000; i++) s += sqrt(i); printf \"%.6f\\n\", s }",
            ],
        ),
        applet(
            "fields",
            &[
                "awk",
                "-F,",
                "{ n[$3] += $2 } END { for (i = 0; i < 7; i++) print i, n[i] }",
                "{fixture}/table.csv",
            ],
        )
        .fixture()
        .on_q35_too(),
        applet(
            "",
            &[
                "sed",
                "-n",
                "s/item\\([0-9]*\\),/<\\1> /p;5q",
                "{fixture}/table.csv",
            ],
        )
        .fixture(),
        applet(
            "in-place",
            &["sed", "-i", "s/small/tiny/", "{fixture}/small.txt"],
        )
        .fixture(),
        applet("", &["sort", "-n", "{fixture}/numbers.txt"])
            .fixture()
            .on_q35_too(),
        applet(
            "keys",
            &["sort", "-t,", "-k3,3n", "-k2,2nr", "{fixture}/table.csv"],
        )
        .fixture(),
        applet("", &["sha512sum", "{fixture}/large.bin"])
            .fixture()
            .on_q35_too(),
        applet("input", &["md5sum"]).input(vec![7; 300_000]),
        applet("", &["find", "{fixture}"]).fixture().unordered(),
        applet(
            "types",
            &[
                "find",
                "{fixture}",
                "-type",
                "f",
                "-size",
                "+1",
                "-name",
                "*.*",
            ],
        )
        .fixture()
        .unordered(),
        applet(
            "",
            &[
                "wc",
                "{fixture}/poem.txt",
                "{fixture}/numbers.txt",
                "{fixture}/empty",
            ],
        )
        .fixture(),
        applet(
            "",
            &[
                "cat",
                "{fixture}/poem.txt",
                "{fixture}/missing",
                "{fixture}/name with spaces",
            ],
        )
        .fixture(),
        applet("", &["cp", "-r", "{fixture}/directory", "{fixture}/copy"]).fixture(),
        applet(
            "",
            &["grep", "-n", "-E", "^1[0-9]{3}$", "{fixture}/numbers.txt"],
        )
        .fixture(),
        applet("", &["tr", "a-z", "A-Z"]).input("shout this\n"),
        applet("", &["cut", "-d,", "-f1,3", "{fixture}/table.csv"]).fixture(),
        applet("", &["head", "-c", "100000", "{fixture}/large.bin"]).fixture(),
        applet("", &["tail", "-n", "3", "{fixture}/numbers.txt"]).fixture(),
        applet("", &["uniq", "-c"]).input("a\na\nb\na\n"),
        applet("", &["od", "-A", "x", "-t", "x1z", "{fixture}/poem.txt"]).fixture(),
        applet("", &["gzip", "-c"]).input(vec![42; 100_000]),
        applet("", &["base64", "{fixture}/poem.txt"]).fixture(),
        applet("", &["seq", "1", "7", "200"]),
        applet("", &["date", "-u", "-d", "@1000000000"]),
        applet("", &["expr", "17", "*", "3"]),
        applet("", &["cmp", "{fixture}/small.txt", "{fixture}/empty"]).fixture(),
        applet(
            "",
            &["diff", "{fixture}/small.txt", "{fixture}/name with spaces"],
        )
        .fixture(),
        applet("", &["ls", "-1", "{fixture}"]).fixture(),
        applet(
            "",
            &["stat", "-c", "%n %s %a %h %F %Y", "{fixture}/large.bin"],
        )
        .fixture(),
        applet(
            "",
            &["readlink", "-f", "{fixture}/link-to-directory/deeper"],
        )
        .fixture(),
        applet("", &["no-such-applet"]),
        applet("closed-output", &["yes"]).output_limit(200_000),
    ]
}
