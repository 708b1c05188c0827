//! Debian's tools that tell of the machine and of processes, in one machine whose shape is known; archives and a database that
//! a shell in the machine makes, checks and unpacks again.

use pith_end_to_end::Workshop;
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::execute::{Handling, execute};
use regex_lite::Regex;
use std::fs;
use std::path::Path;
use std::time::Duration;

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("archives", archives),
    ("database", database),
    ("measurements", measurements),
    ("tools", tools),
];

/// Runs a script by a shell in a machine of two processors and 256 MiB that has these programs. It has to succeed.
fn run(workshop: &Workshop, name: &str, programs: &[&str], script: &str) -> Result<String, String> {
    let path = workshop.directory_for(name)?.join("script");
    fs::write(&path, script).map_err(|error| error.to_string())?;
    let mut command = workshop.pith("run");
    command.args(["-q", "-c", "2", "-m", "256M", "--accel", accelerator()]);
    for program in programs {
        // Some are links to what Debian calls otherwise.
        let file = fs::canonicalize(program).map_err(|error| format!("{program}: {error}"))?;
        command.arg("--file");
        match file == Path::new(program) {
            true => command.arg(program),
            false => command.arg(format!("{}:{program}", file.display())),
        };
    }
    command
        .arg("--file")
        .arg(&path)
        .arg("--")
        .arg("/bin/sh")
        .arg(&path);
    let limit = Duration::from_secs(120);
    let handling = Handling {
        limit,
        ..Handling::default()
    };
    let outcome = execute(&mut command, &handling)?;
    let (output, error) = (
        String::from_utf8_lossy(&outcome.output),
        String::from_utf8_lossy(&outcome.error),
    );
    match (outcome.status, outcome.timed_out) {
        (0, false) => Ok(output.into_owned()),
        (status, _) => Err(format!("status {status}\n{output}\n{error}")),
    }
}

/// What they say of a shell that has a child, in a machine of two processors.
fn tools(workshop: &Workshop) -> Result<(), String> {
    let programs = [
        "/usr/bin/ps",
        "/usr/bin/pgrep",
        "/usr/bin/free",
        "/usr/bin/vmstat",
        "/usr/bin/uptime",
        "/usr/bin/pmap",
        "/usr/bin/lscpu",
        "/usr/bin/findmnt",
        "/usr/bin/prlimit",
        "/usr/bin/taskset",
        "/usr/bin/chrt",
        "/usr/bin/nproc",
        "/usr/bin/lslocks",
        "/usr/bin/flock",
        "/usr/bin/sleep",
        "/usr/bin/df",
        "/usr/bin/readlink",
        "/usr/bin/cat",
        "/etc/passwd",
    ];
    let script = "sleep 60 &\n\
        ps -eo pid,ppid,pgid,sid,user,args\n\
        pgrep -a sleep\n\
        free -b\nvmstat\nuptime\n\
        pmap -x $!\n\
        lscpu\nnproc\n\
        findmnt -n -o TARGET,FSTYPE\n\
        prlimit --pid $! --nofile --noheadings -o SOFT,HARD\n\
        taskset -pc 1 $!\nchrt -p $!\n\
        exec 9>/tmp/lock; flock 9; lslocks -n -o TYPE,MODE,PATH\n\
        df --output=target /dev/shm\n\
        readlink /proc/$!/exe; cat /proc/$!/comm; cat /proc/$!/cmdline\n\
        kill $!\n";
    let output = run(workshop, "system-tools", &programs, script)?;
    let expected = [
        r"\n +1 +0 +1 +1 root +/bin/sh /",
        r"\n +2 +1 +1 +1 root +sleep 60\n",
        r"\n2 sleep 60\n",
        // Less than 256 MiB by what the kernel and the image need, in which something is used.
        r"\nMem: +2[3-6]\d{7} +[1-9]\d{5,7} +",
        r"up 0 min",
        r"sleep\n[0-9a-f]+ +\d+ +\d+ +\d+ r-x-- sleep\n",
        r"\[ stack \]\n",
        r"\nCPU\(s\): +2\n",
        r"\nCore\(s\) per socket: +2\n",
        r"\nNUMA node0 CPU\(s\): +0,1\n",
        r"\n2\n/ +overlay\n",
        r"/dev/shm +tmpfs\n",
        r"\n *1024 +1048576\n",
        r"pid 2's current affinity list: 0,1\npid 2's new affinity list: 1\n",
        r"pid 2's current scheduling policy: SCHED_OTHER\n",
        r"FLOCK +WRITE +/",
        r"/dev/shm\n/usr/bin/sleep\nsleep\nsleep\x0060\x00",
    ];
    find(&output, &expected)
}

/// What tools of util-linux and procps read of hardware, interrupts and loads, while something runs and something has ended.
fn measurements(workshop: &Workshop) -> Result<(), String> {
    let programs = [
        "/usr/bin/ps",
        "/usr/bin/top",
        "/usr/bin/vmstat",
        "/usr/bin/slabtop",
        "/usr/bin/w",
        "/usr/bin/lscpu",
        "/usr/bin/lsmem",
        "/usr/bin/lsns",
        "/usr/bin/lsirq",
        "/usr/bin/lsipc",
        "/usr/bin/lsblk",
        "/usr/bin/pmap",
        "/usr/bin/cat",
        "/usr/bin/date",
        "/usr/bin/sleep",
        "/usr/bin/mkdir",
        "/etc/passwd",
    ];
    // The shell that becomes sleep has a child that it never waits for.
    let script = "(sleep 0 & exec sleep 60) &\n\
        a=$(cat /proc/stat); sleep 0.1; b=$(cat /proc/stat)\n\
        for name in ctxt intr processes; do\n\
          one=${a#*$name }; two=${b#*$name }; one=${one%%[!0-9]*}; two=${two%%[!0-9]*}\n\
          test $one -lt $two && echo $name counts\n\
        done\n\
        ps -eo stat,tty,args\nps -o etimes= -p $!\n\
        lscpu -C=NAME,ONE-SIZE,TYPE,LEVEL\nlsmem -n\nlsns -n -t uts -o NPROCS,PID\nlsirq -n -o NAME\nlsipc -m\nlsblk\n\
        slabtop -o\nvmstat -s\nw -h\npmap -X $!\n\
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.current /proc/self/cgroup\n\
        mkdir /sys/fs/cgroup/more 2>&1\n\
        echo other >/proc/sys/kernel/hostname; cat /proc/sys/kernel/hostname\n\
        end=$(($(date +%s) + 7)); while test $(date +%s) -lt $end; do :; done\n\
        top -b -n 1\ncat /proc/loadavg\n\
        kill $!\n";
    let output = run(workshop, "system-measurements", &programs, script)?;
    let expected = [
        r"ctxt counts\nintr counts\nprocesses counts\n",
        r"\nZ +\? +\[sleep\] <defunct>\n",
        r"\nS +\? +sleep 60\n",
        r"\n +[0-9]\n",
        r"\nL1d +\d+K +Data +1\n",
        r"\n0x0000000000000000-0x000000000fffffff +256M online +no +0-1\n",
        r"\n +[4-9] +1\n",
        r"\nRescheduling interrupts\n",
        r"\nLocal timer interrupts\n",
        r"kmalloc-64",
        r" [1-9]\d* CPU context switches\n",
        r" [1-9]\d* forks\n",
        r"\nmax\nmax 100000\n[3-9]\n0::/\n",
        r"more.: Read-only file system\nother\n",
        r"\nTasks: +\d+ total, +\d running, +\d sleeping, +0 stopped, +1 zombie\n",
        r"\nMiB Mem : +2\d\d\.\d total",
        // The loop has been running for more than five seconds.
        r"\n(0\.0[3-9]|0\.[1-9]\d|1\.\d\d) 0\.\d\d 0\.\d\d \d/\d \d+\n$",
    ];
    find(&output, &expected)
}

/// Whether an output has each of these patterns in it.
fn find(output: &str, expected: &[&str]) -> Result<(), String> {
    for pattern in expected {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        if !regex.is_match(output) {
            return Err(format!("no /{pattern}/ in:\n{output}"));
        }
    }
    Ok(())
}

/// A tree with what archives find hard goes through each of them and comes back the same: content, rights, times, holes, hard
/// links.
fn archives(workshop: &Workshop) -> Result<(), String> {
    let programs = [
        "/usr/bin/tar",
        "/usr/bin/gzip",
        "/usr/bin/xz",
        "/usr/bin/zstd",
        "/usr/bin/cpio",
        "/usr/bin/zip",
        "/usr/bin/unzip",
        "/usr/bin/find",
        "/usr/bin/sha256sum",
        "/usr/bin/sort",
        "/usr/bin/stat",
        "/usr/bin/mkdir",
        "/usr/bin/seq",
        "/usr/bin/ln",
        "/usr/bin/chmod",
        "/usr/bin/truncate",
        "/usr/bin/touch",
        "/usr/bin/mkfifo",
        "/usr/bin/rm",
        "/usr/bin/cmp",
        "/usr/bin/head",
    ];
    let script = r#"set -e
cd /tmp; mkdir -p tree/deep/er 'tree/a b'; cd tree
seq 1 5000 >numbers; head -c 100000 /dev/urandom >deep/random; : >empty
ln numbers deep/er/hard; ln -s ../numbers deep/soft; ln -s nowhere dangling
truncate -s 3000000 sparse; echo end >>sparse
chmod 4751 numbers; chmod 600 'a b' 2>/dev/null; chmod 1777 deep/er
touch -d '2001-02-03 04:05:06.789' numbers; touch -d '1999-01-01' deep
cd ..
sums() { (cd "$1"; find . -type f -exec sha256sum '{}' + | sort -k2); }
facts() { (cd "$1"; find . ! -type d -exec stat -c "%n %a %u:%g %h %F %s $2 %N" '{}' + | sort); }
same() { sums "$1" >after; cmp before after; facts "$1" "$2" >new; facts tree "$2" >old; cmp old new; }
sums tree >before
for filter in --gzip --xz --zstd; do
  tar -c -f a.tar $filter --sparse -C tree .
  rm -rf out; mkdir out; tar -x -p -f a.tar -C out; same out %.19y
  test $(stat -c %b out/sparse) -lt 100
  echo tar $filter
done
rm -rf out; mkdir out
(cd tree; find . -depth | cpio -o -H newc --quiet) >a.cpio; (cd out; cpio -i -d -m --quiet <../a.cpio); same out; echo cpio
rm -rf out; mkdir out
(cd tree; zip -q -r -y ../a.zip .); unzip -q a.zip -d out; sums out >after; cmp before after; echo zip
"#;
    let output = run(workshop, "system-archives", &programs, script)?;
    match output.as_str() {
        "tar --gzip\ntar --xz\ntar --zstd\ncpio\nzip\n" => Ok(()),
        other => Err(format!("it came only so far:\n{other}")),
    }
}

/// Ten thousand transactions with a log ahead of them, a thousand with a journal, and the locks of two connections.
fn database(workshop: &Workshop) -> Result<(), String> {
    let script = r#"set -e
cd /tmp
for mode in wal delete; do
  count=$2; test $mode = wal || count=1000
  { echo "pragma journal_mode=$mode; pragma mmap_size=$1; pragma synchronous=normal; create table t(a integer primary key, b text);"
    i=0; while [ $i -lt $count ]; do i=$((i+1)); echo "insert into t values($i, 'row $i');"; done
    echo "pragma integrity_check; select count(*), sum(a), max(b) from t;"; } | sqlite3 $mode.db
done
# One connection holds the lock while the other asks.
mkfifo pipe; sqlite3 delete.db <pipe >held & exec 8>pipe
echo "begin exclusive; select 'held';" >&8
while ! test -s held; do sleep 0.02; done
sqlite3 delete.db "insert into t values(-1, '');" 2>&1 || echo refused
echo "commit;" >&8; exec 8>&-; wait
sqlite3 delete.db "insert into t values(-1, ''); select min(a) from t;"
"#
    .replace("$1", "1048576")
    .replace("$2", "10000");
    let programs = ["/usr/bin/sqlite3", "/usr/bin/mkfifo", "/usr/bin/sleep"];
    let output = run(workshop, "system-database", &programs, &script)?;
    let expected = "wal\n1048576\nok\n10000|50005000|row 9999\ndelete\n1048576\nok\n1000|500500|row 999\n\
         Error: stepping, database is locked (5)\nrefused\n-1\n";
    // Where the message ends differs between versions of the shell.
    let shown: String = output
        .lines()
        .map(|line| match line.contains("database is locked") {
            true => "Error: stepping, database is locked (5)\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    if shown == expected {
        Ok(())
    } else {
        Err(format!("it said:\n{output}"))
    }
}
