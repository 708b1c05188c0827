//! Every applet of busybox and every program of coreutils that needs no second process.
//!
//! [`CHECKS`] holds that this is true: what the host's `busybox --list` and the package's list of files name has to be
//! tested here, in [`crate::busybox`] or in [`crate::coreutils`], or to stand in a list with the reason why not.

use pith_end_to_end::{Case, Workshop};
use std::collections::BTreeSet;
use std::process::Command;

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("busybox-complete", busybox_is_complete),
    ("coreutils-complete", coreutils_are_complete),
];

/// One command: the words after the program's name, or the program's name and words; and standard input.
type Line = (&'static str, &'static str);

/// Applets with arguments, in the fixture's directory.
const APPLETS: &[Line] = &[
    ("[ small.txt -nt empty -a 3 -lt 5 ]", ""),
    ("[[ -L loop || -d missing ]]", ""),
    ("[ -x small.txt ]", ""),
    ("ar -tv /dev/stdin", ARCHIVE),
    ("ar -p /dev/stdin", ARCHIVE),
    ("arch", ""),
    ("ascii", ""),
    (
        "ash -c 'set -- c b a; for x; do printf %s- $x; done; umask; trap \"echo end\" EXIT; cd directory; echo *'",
        "",
    ),
    ("basename directory/nested.txt .txt", ""),
    ("bc", "scale=30\n4*a(1)\n2^200\nobase=16\n3735928559\n"),
    ("blockdev --getsz small.txt", ""),
    ("cal 9 1752", ""),
    ("chgrp -v 12 small.txt missing", ""),
    ("chmod -Rc go-r,u+x directory missing", ""),
    ("chown -v 7:8 small.txt dangling", ""),
    ("chroot directory /no/such/program", ""),
    ("chroot . /small.txt", ""),
    ("clear", ""),
    ("cpio -o -H newc", "missing\n"),
    ("cpio -tv -F missing", ""),
    ("crc32 large.bin empty missing", ""),
    ("dc", "20k 2v p 16o 255 p [la1+dsa10>b]sb 0sa lbx la p"),
    ("dd if=large.bin bs=777 skip=2 count=3 status=noxfer", ""),
    ("dirname /a/b/c d e/f/", ""),
    ("dos2unix", "one\r\ntwo\r\n"),
    ("dos2unix -u missing", ""),
    ("du -a missing", ""),
    ("dumpleases -f missing", ""),
    ("echo -e 'a\\tb\\0101\\c' unseen", ""),
    (
        "ed small.txt",
        "1p\na\nmore\n.\n1,$s/small/big/\n1,$p\nw\nq\n",
    ),
    ("egrep -c '^(item1|item2)[0-9]+,' table.csv", ""),
    ("env -i A=1 B=2", ""),
    ("expand -t 4", "a\tb\n\tc\n"),
    ("factor 1000000007 720720 4294967291", ""),
    ("fallocate -l 70000 small.txt", ""),
    ("fallocate -l 70000 directory", ""),
    ("false", ""),
    ("fatattr small.txt", ""),
    ("fgrep -n 7,4 table.csv", ""),
    ("fold -s -w 12 poem.txt", ""),
    (
        "getopt -l alpha,beta: -o ab: -- -a --beta=2 rest --alpha",
        "",
    ),
    ("grep -rl spaces .", ""),
    ("groups", ""),
    (
        "gunzip -c",
        "1f8b08000000000000034bcecf2d284a2d2e4e4d512849ad28e10200177d654710000000",
    ),
    (
        "gunzip -t",
        "1f8b08000000000000034bcecf2d284a2d2e4e4d512849ad28e10200177d654711000000",
    ),
    ("hexdump -C poem.txt", ""),
    ("httpd -d a%20b%2fc+d", ""),
    ("httpd -e 'a <b>&'", ""),
    ("id -u", ""),
    ("ionice", ""),
    ("ionice -c 2 -n 3 /bin/busybox ionice", ""),
    ("ipcalc -bnmp 10.1.2.3/20", ""),
    ("kill -l", ""),
    ("kill -l 11 TERM", ""),
    ("kill -0 999999", ""),
    ("killall no-such-program", ""),
    ("less poem.txt", ""),
    ("link small.txt linked", ""),
    ("link small.txt empty", ""),
    ("linux32 /bin/busybox uname -m", ""),
    ("linux64 /bin/busybox uname -m", ""),
    ("ln -s small.txt linked", ""),
    ("ln small.txt empty", ""),
    ("losetup missing small.txt", ""),
    ("lzop -c small.txt", ""),
    (
        "lzma -dc",
        "5d00008000ffffffffffffffff00319bc9f3f6bc8ec5ce1d57bae85a8b84e9224a9bfffeafe800",
    ),
    (
        "lzcat",
        "5d00008000ffffffffffffffff00319bc9f3f6bc8ec5ce1d57bae85a8b84e9224a9bfffeafe800",
    ),
    (
        "unlzma -t",
        "5d00008000ffffffffffffffff00319bc9f3f6bc8ec5ce1d57bae85a8b84e9224a9bfffeafe800",
    ),
    (
        "bunzip2 -c",
        "425a6839314159265359411ed8060000015180001040000e02dc402000220019040d0340cbd134341bcee7f177245385090411ed8060",
    ),
    (
        "bzcat",
        "425a6839314159265359411ed8060000015180001040000e02dc402000220019040d0340cbd134341bcee7f177245385090411ed8060",
    ),
    ("bzip2 -c table.csv", ""),
    ("mkdir -vp a/b/c small.txt", ""),
    ("mkfifo -m 640 pipe small.txt", ""),
    ("mknod -m 600 device c 1 3", ""),
    ("mknod small.txt p", ""),
    ("mkpasswd -m sha512 -S saltsalt secret", ""),
    ("mkpasswd -m des -S ab secret", ""),
    ("mktemp -d missing/XXXXXX", ""),
    ("mke2fs -n missing", ""),
    ("mkdosfs missing", ""),
    ("mkswap missing", ""),
    ("more poem.txt", ""),
    ("mountpoint .", ""),
    ("mt -f missing status", ""),
    ("mv -n small.txt empty", ""),
    ("mv directory missing/there", ""),
    ("nl -ba poem.txt", ""),
    ("nproc --ignore=3", ""),
    ("paste -d: numbers.txt table.csv", ""),
    ("patch -p0 --dry-run", PATCH),
    ("patch -p0", PATCH),
    ("pidof no-such-program", ""),
    ("printf '%5d|%-5s|%x|%c|%e\\n' 42 ab 255 z 1.5", ""),
    ("pwd", ""),
    ("realpath link-to-small missing/more", ""),
    ("reset", ""),
    ("rev poem.txt", ""),
    ("rm -r directory missing", ""),
    ("rm directory", ""),
    ("rmdir 'empty directory' directory", ""),
    ("run-parts --test directory", ""),
    (
        "sh -c 'umask 27; : >new; test -w new && cd -P link-to-directory && pwd; exec 3<&9'",
        "",
    ),
    ("sha1sum large.bin missing", ""),
    ("sha256sum large.bin poem.txt", ""),
    ("sha3sum large.bin", ""),
    (
        "sha256sum -c",
        "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b  /dev/null\n",
    ),
    ("shred -u -n 1 small.txt missing", ""),
    ("shuf -n 5 -i 7-7", ""),
    ("sleep 0.01", ""),
    ("strings -n 6 large.bin", ""),
    ("strings -t x /bin/busybox", ""),
    ("stty", ""),
    ("sync small.txt missing", ""),
    ("sysctl kernel.ostype kernel.no-such-thing", ""),
    ("tac poem.txt", ""),
    ("tar -tf missing", ""),
    ("taskset 1 /bin/busybox echo here", ""),
    ("tee new", "to both\n"),
    ("test -r table.csv -a ! -w missing", ""),
    ("touch -d '2001-02-03 04:05:06' small.txt missing/file", ""),
    ("true", ""),
    ("truncate -s +1000 small.txt", ""),
    ("truncate -c -s 5 missing", ""),
    ("ts x", "a\nb\n"),
    ("tty", ""),
    ("uname -som", ""),
    ("uncompress -c", "1f9d9074cae0a1a300"),
    ("unexpand -a", "        a       b\n"),
    ("uniq -d", "a\na\nb\nc\nc\n"),
    ("unix2dos", "one\ntwo\n"),
    ("unlink small.txt", ""),
    ("unlink directory", ""),
    ("unxz -c", XZ),
    ("unzip -l missing", ""),
    ("unzip -p - in.txt", ZIP),
    ("usleep 1000", ""),
    (
        "uudecode -o /dev/stdout",
        "begin 644 file\n+:&5L;&\\@=V]R;&0`\n`\nend\n",
    ),
    ("uuencode -m name", "hello world"),
    ("uuencode small.txt name", ""),
    ("volname missing", ""),
    ("which busybox no-such-program", ""),
    ("xxd -l 100 large.bin", ""),
    ("xxd -r -p", "68656c6c6f0a"),
    ("xz -dc", XZ),
    ("xzcat", XZ),
];

const ARCHIVE: &str = "!<arch>\nhello.txt/      1000000000  7     8     100644  7         `\nhello!\n\n\
two.txt/        1000000001  0     0     100755  4         `\ntwo\n";
const PATCH: &str =
    "--- small.txt\n+++ small.txt\n@@ -1 +1,2 @@\n-small file\n+large file\n+more of it\n";
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a301000f636f6d7072657373656420746578740a\
004a54ad9e82bc93f400012810e50b6c601fb6f37d010000000004595a";
const ZIP: &str = "504b03041400000008004110425093a8a8e00a0000001900000006000000696e2e7478742b49ad285128c124\
b800504b010214031400000008004110425093a8a8e00a00000019000000060000000000000000000000800100000000696e2e747874504b05060000\
000001000100340000002e0000000000";

/// Programs of coreutils with arguments, in the fixture's directory.
const UTILITIES: &[Line] = &[
    ("[ small.txt -nt empty -a 3 -lt 5 ]", ""),
    ("test -r table.csv -a ! -w missing", ""),
    ("test -k", ""),
    ("test one -gt 2", ""),
    ("arch", ""),
    ("base32 poem.txt", ""),
    ("base32 -d", "NBSWY3DPEB3W64TMMQ======\n"),
    ("basename -a -s .txt small.txt directory/nested.txt", ""),
    ("basenc --z85", "12345678"),
    ("basenc --base16 -d -i", "6869 0A!"),
    ("chcon -t some_type_t small.txt", ""),
    ("chgrp -v 12 small.txt missing", ""),
    ("chmod -Rvc go-r,u+x directory missing", ""),
    ("chmod -v --reference=poem.txt small.txt dangling", ""),
    ("chown -v 7:8 small.txt", ""),
    ("chown -hRv 5 directory link-to-small", ""),
    ("chroot directory /no/such/program", ""),
    ("chroot --userspec=7:8 --groups=9 / /usr/bin/id", ""),
    ("cksum large.bin empty missing", ""),
    ("cksum -a sm3 --untagged large.bin", ""),
    ("comm -3 --total numbers.txt poem.txt", ""),
    ("csplit table.csv /item100,/ {1}", ""),
    ("csplit -k -f part numbers.txt 100 {3}", ""),
    ("dir -1 .", ""),
    ("dircolors -p", ""),
    ("dirname /a/b/c d e/f/", ""),
    ("df missing", ""),
    ("du -b --apparent-size small.txt large.bin missing", ""),
    ("du -ab directory/nested.txt link-to-small -L", ""),
    ("expand -t 4,9", "a\tb\tc\n\tc\n"),
    ("expr 17 % 5 '*' ( 3 + 4 )", ""),
    ("expr match abcabc 'a\\(.*\\)b'", ""),
    ("fmt -w 20 poem.txt", ""),
    ("fold -s -w 12 poem.txt", ""),
    ("groups", ""),
    ("id", ""),
    ("id -nG", ""),
    ("id no-such-user", ""),
    ("install -v -D -m 751 small.txt new/place", ""),
    ("install -v -d a/b", ""),
    (
        "join -t, -1 3 -2 1 -o 1.1,2.1 -a 1 table.csv -",
        "0,a\n1,b\n",
    ),
    ("link small.txt linked", ""),
    ("link small.txt empty", ""),
    ("logname", ""),
    ("mkfifo -m 640 pipe small.txt", ""),
    ("mknod -m 600 device c 1 3", ""),
    ("mknod small.txt p", ""),
    ("mktemp -d missing/XXXXXX", ""),
    ("md5sum.textutils poem.txt", ""),
    ("nice", ""),
    ("nice -n 5 /usr/bin/nice", ""),
    ("nohup /usr/bin/echo through", ""),
    ("nproc --all --ignore=99", ""),
    ("paste -s -d:, numbers.txt", ""),
    ("pathchk -p 'a b' small.txt", ""),
    ("pathchk missing/more small.txt/more", ""),
    ("pr -2 -l 20 -h title -D today numbers.txt", ""),
    ("ptx -w 60 poem.txt", ""),
    ("rmdir -v 'empty directory' directory", ""),
    ("runcon", ""),
    ("sha1sum large.bin --tag", ""),
    ("sha224sum large.bin", ""),
    ("sha384sum large.bin", ""),
    ("sha512sum large.bin empty", ""),
    (
        "shred -v -u -n 2 --random-source=/dev/zero small.txt missing",
        "",
    ),
    ("shuf --random-source=large.bin -n 20 numbers.txt", ""),
    ("sort -t, -k3,3n -k2,2nr -s table.csv", ""),
    ("sort -R --random-source=large.bin table.csv", ""),
    ("sort -c numbers.txt", ""),
    ("sort -m -o small.txt numbers.txt poem.txt", ""),
    ("sort -S 64k -T . --parallel=2 large.bin", ""),
    ("split --verbose -n l/3 numbers.txt part-", ""),
    ("split --verbose -b 500K -d large.bin", ""),
    ("stat -f -c %T /proc /sys", ""),
    ("stdbuf -oL /usr/bin/echo line", ""),
    ("stty", ""),
    ("stty -F small.txt", ""),
    ("sum large.bin", ""),
    ("sum -s large.bin poem.txt", ""),
    ("sync -d small.txt missing", ""),
    ("sync -f .", ""),
    ("tr -cs '[:alnum:]' '\\n'", "many words, in one line\n"),
    ("truncate -s %4096 small.txt", ""),
    ("truncate -s 5 missing/more directory", ""),
    ("tsort", "a b b c\nc d a d\n"),
    ("tsort -", "a b b a"),
    ("tty", ""),
    ("tty -s", ""),
    ("unexpand -a", "        a       b\n"),
    ("uniq -c -f 1", "1 a\n2 a\n3 b\n"),
    ("unlink small.txt", ""),
    ("unlink directory", ""),
    ("users missing", ""),
    ("vdir --time-style=+%s small.txt", ""),
    ("who missing", ""),
    ("whoami", ""),
    ("cp -av directory copy", ""),
    ("cp --sparse=always -v large.bin copy", ""),
    ("cp --reflink=always small.txt copy", ""),
    ("cp -t missing small.txt", ""),
    ("cp -R . directory", ""),
    ("mv -bv small.txt empty", ""),
    ("mv -v directory directory/deeper", ""),
    ("ln -v small.txt empty", ""),
    ("ln -Pv link-to-small hard", ""),
    ("ln -rsv directory/nested.txt relative", ""),
    ("rm -dv 'empty directory' directory", ""),
    ("touch -h -r small.txt dangling missing/more", ""),
    ("realpath -e --relative-to=directory small.txt missing", ""),
    ("readlink -e loop", ""),
    (
        "ls -lQ --time-style=+%s --hyperlink=never loop small.txt",
        "",
    ),
    (
        "ls -l --time-style=+ /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty",
        "",
    ),
    (
        "ls -dQ --color=always --indicator-style=classify link-to-small dangling poem.txt directory missing",
        "",
    ),
    ("dd if=missing", ""),
    (
        "dd if=large.bin of=out bs=64K iflag=direct,noatime oflag=append,sync,nofollow conv=notrunc,fsync,sparse status=none",
        "",
    ),
    ("dd if=small.txt conv=ucase,swab cbs=8 status=none", ""),
    ("dd if=/dev/full of=/dev/full bs=10 count=1 status=none", ""),
    ("dd of=directory/new count=0 seek=10 bs=1M status=none", ""),
    ("head -n -1995 numbers.txt", ""),
    ("tail -n +1998 numbers.txt", ""),
    ("tail -q -c 20 poem.txt large.bin missing", ""),
    ("wc -lLmwc poem.txt table.csv large.bin --total=always", ""),
    ("od -A d -t f8 -t x4 -N 64 -j 100 large.bin", ""),
    ("cat -A poem.txt", ""),
    ("cut --complement -c 3-5 --output-delimiter=: table.csv", ""),
    ("date -u -r small.txt +%c", ""),
    ("date -s 'not a time'", ""),
    ("hostid --no-such-option", ""),
    ("pinky -l root --no-such-option", ""),
    (
        "numfmt --from=si --to=iec-i --field=2 --header",
        "a b\nx 1M\ny 3.5G\n",
    ),
    ("seq -w 9.5 -0.75 3", ""),
    ("b2sum -l 128 large.bin --tag", ""),
    ("env -i -C directory -S 'A=${HOME} /usr/bin/pwd'", ""),
    ("printenv -0 HOME", ""),
    ("tee -a small.txt missing/more /dev/full", "text\n"),
    ("timeout --no-such-option", ""),
];

/// A command's words, as a shell would split them: spaces, and quotes of one kind.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_with(String::new).push(other),
        }
    }
    words.extend(word);
    words
}

/// Standard input: what looks like bytes in hexadecimal is that.
fn input(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    if digits.len() == text.len() && digits.len() > 12 && digits.len().is_multiple_of(2) {
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    } else {
        text.into()
    }
}

/// Applets that are not tested, and why.
const OTHER_APPLETS: &[(&str, &[&str])] = &[
    (
        "serves a terminal, sessions or daemons: needs a second process",
        &[
            "crond",
            "crontab",
            "cttyhack",
            "getty",
            "init",
            "linuxrc",
            "login",
            "mdev",
            "nuke",
            "openvt",
            "passwd",
            "run-init",
            "setsid",
            "start-stop-daemon",
            "su",
            "sulogin",
            "svc",
            "svok",
            "switch_root",
            "telnetd",
            "time",
            "timeout",
            "uevent",
            "vi",
            "watch",
            "watchdog",
            "xargs",
            "mim",
            "zcat",
            "dpkg",
            "dpkg-deb",
            "rpm",
            "rpm2cpio",
            "acpid",
            "nologin",
        ],
    ),
    (
        "is about virtual terminals, keyboards, buses, disks or other devices that no machine here has",
        &[
            "chvt",
            "deallocvt",
            "dumpkmap",
            "loadfont",
            "loadkmap",
            "setkeycodes",
            "blkdiscard",
            "devmem",
            "fdisk",
            "freeramdisk",
            "hwclock",
            "i2cdetect",
            "i2cdump",
            "i2cget",
            "i2cset",
            "i2ctransfer",
            "lsscsi",
            "microcom",
            "partprobe",
            "resume",
            "ubirename",
            "findfs",
        ],
    ),
    (
        "changes or tells of the whole system, which would be the host's: kernel modules, mounts, swap, power, clock, \
         capabilities",
        &[
            "adjtimex",
            "depmod",
            "insmod",
            "lsmod",
            "modinfo",
            "modprobe",
            "rmmod",
            "fsfreeze",
            "fstrim",
            "halt",
            "poweroff",
            "reboot",
            "mount",
            "umount",
            "pivot_root",
            "swapoff",
            "swapon",
            "nsenter",
            "unshare",
            "rdate",
            "renice",
            "setpriv",
        ],
    ),
    (
        "needs a network with someone in it: Debian's own tools are tested on a wire, in tools.rs",
        &[
            "arp",
            "arping",
            "brctl",
            "dnsdomainname",
            "ftpget",
            "ftpput",
            "ifconfig",
            "ifdown",
            "ifup",
            "ip",
            "ipneigh",
            "nameif",
            "nc",
            "netstat",
            "nslookup",
            "ping",
            "ping6",
            "route",
            "ssl_client",
            "tc",
            "telnet",
            "tftp",
            "traceroute",
            "traceroute6",
            "tunctl",
            "udhcpc",
            "udhcpd",
            "vconfig",
            "wget",
        ],
    ),
    (
        "tells of the machine it runs on, which is not the host: system.rs looks at Debian's own tools",
        &[
            "df", "dmesg", "free", "hostid", "hostname", "last", "ps", "top", "uptime", "w", "who",
            "whoami", "logname",
        ],
    ),
    (
        "needs a daemon's log",
        &["klogd", "logger", "logread", "syslogd"],
    ),
    ("is busybox itself", &["busybox"]),
];

/// Programs of coreutils that are not tested, and why.
const OTHER_UTILITIES: &[(&str, &[&str])] = &[];

/// A case for each line of a table, in a fixture's directory. The same program's second case ends in `-2`.
fn table(
    group: &str,
    lines: &[Line],
    command: impl Fn(&str) -> (String, Vec<String>),
) -> Vec<Case> {
    let mut seen = std::collections::BTreeMap::new();
    let mut cases = Vec::new();
    for (line, given) in lines {
        let mut words = words(line);
        let name = words.remove(0);
        let number = seen
            .entry(name.clone())
            .and_modify(|number| *number += 1)
            .or_insert(1);
        let suffix = match number {
            1 => name.clone(),
            number => format!("{name}-{number}"),
        };
        let (program, mut arguments) = command(&name);
        arguments.extend(words);
        let mut case = Case::new(format!("{group}::{suffix}"), &program, &[])
            .fixture()
            .working_directory("{fixture}")
            .input(input(given));
        case.arguments = arguments;
        cases.push(with_needs(case));
    }
    cases
}

/// What the kernel can't know from a case's words: programs that a program starts in its own place, and outputs without
/// an order of their own.
fn with_needs(mut case: Case) -> Case {
    let starts: Vec<String> = case
        .arguments
        .iter()
        .filter_map(|word| word.find("/usr/bin/").map(|start| word[start..].to_owned()))
        .collect();
    for program in starts {
        case = case.file(&program);
    }
    match case.name.as_str() {
        "utilities::stdbuf" => case.file("/usr/libexec/coreutils/libstdbuf.so"),
        // Names come from the directory.
        "applets::chmod" | "utilities::chmod" | "utilities::chown-2" | "utilities::cp" => {
            case.unordered()
        }
        _ => case,
    }
}

/// All cases of both tables.
pub fn cases() -> Vec<Case> {
    let mut cases = table("applets", APPLETS, |name| {
        ("/bin/busybox".into(), vec![name.into()])
    });
    cases.extend(table("utilities", UTILITIES, |name| {
        let directory = if name == "chroot" { "sbin" } else { "bin" };
        (format!("/usr/{directory}/{name}"), Vec::new())
    }));
    cases
}

/// Whether each of some programs has a case or a reason, and none has both.
fn complete(
    all: &BTreeSet<String>,
    tested: BTreeSet<String>,
    others: &[(&str, &[&str])],
) -> Result<(), String> {
    let named: BTreeSet<String> = others
        .iter()
        .flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned()))
        .collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|name| !tested.contains(*name) && !named.contains(*name))
        .collect();
    let twice: Vec<_> = named.iter().filter(|name| tested.contains(*name)).collect();
    if missing.is_empty() && twice.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "neither tested nor listed: {missing:?}; listed as not tested, but tested: {twice:?}"
        ))
    }
}

/// What a command of the host says, in words.
fn said(program: &str, arguments: &[&str]) -> Result<BTreeSet<String>, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("can't start {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}

fn busybox_is_complete(_: &Workshop) -> Result<(), String> {
    let cases = [crate::busybox::cases(), cases()].concat();
    let tested = cases
        .iter()
        .filter(|case| case.program == "/bin/busybox")
        .filter_map(|case| case.arguments.first().cloned());
    complete(
        &said("busybox", &["--list"])?,
        tested.collect(),
        OTHER_APPLETS,
    )
}

fn coreutils_are_complete(_: &Workshop) -> Result<(), String> {
    let programs = said("dpkg", &["-L", "coreutils"])?
        .into_iter()
        .filter_map(|path| {
            let (directory, name) = path.rsplit_once('/')?;
            directory.ends_with("bin").then(|| name.to_owned())
        });
    let cases = [crate::coreutils::cases(), cases()].concat();
    let tested = cases
        .iter()
        .filter(|case| !case.name.starts_with("applets") && !case.name.starts_with("busybox"));
    let tested = tested.filter_map(|case| case.program.rsplit('/').next().map(str::to_owned));
    complete(&programs.collect(), tested.collect(), OTHER_UTILITIES)
}
