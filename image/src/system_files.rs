//! The directories and small files that programs of every kind expect.

use std::path::Path;

use crate::error::Error;
use crate::request::SystemFiles;
use crate::tree::{Content, Found, Present, Tree};

/// Directories of every image, with their modes. The kernel mounts file systems over the first three.
const DIRECTORIES: [(&str, u32); 9] = [
    ("/dev", 0o755),
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/run", 0o755),
    ("/var/tmp", 0o1777),
    ("/root", 0o700),
    ("/etc", 0o755),
    ("/home", 0o755),
];

/// Accounts of an image that has none of the host's: passwd(5) and group(5).
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// nsswitch.conf(5): files only. The module for them is part of glibc since 2.34; others (systemd, mdns)
/// would be libraries to load and services to ask, and neither is in an image.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                        networks: files\nservices: files\nprotocols: files\n";

/// Where the locale `C.UTF-8` lies, by distribution.
const LOCALES: [&str; 2] = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"];

/// Where descriptions of terminals lie (terminfo(5)).
const TERMINALS: [&str; 3] = ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"];

/// The terminals that programs are mostly run at, and the one that is none: programs such as top ask for it when they do not
/// write to a terminal.
const TERMINAL_NAMES: [&str; 8] = [
    "dumb",
    "linux",
    "screen",
    "screen-256color",
    "tmux-256color",
    "vt100",
    "xterm",
    "xterm-256color",
];

/// Adds descriptions of terminals if there is a library that reads them.
fn add_terminals(tree: &mut Tree) -> Result<(), Error> {
    let reads_them = tree.iter().any(|(path, _)| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(b"libtinfo") || name.starts_with(b"libncurses")
    });
    if reads_them {
        for name in TERMINAL_NAMES {
            for directory in TERMINALS {
                // A host without one of them is fine.
                tree.import(&Path::new(directory).join(&name[..1]).join(name))?;
            }
        }
    }
    Ok(())
}

/// Adds what is not in the tree yet.
pub(crate) fn add(
    tree: &mut Tree,
    origin: SystemFiles,
    hostname: &str,
    uses_glibc: bool,
) -> Result<(), Error> {
    for (directory, mode) in DIRECTORIES {
        tree.generate(directory, mode, Content::Directory)?;
    }
    if origin == SystemFiles::Host {
        for path in ["/etc/passwd", "/etc/group", "/etc/localtime"] {
            // A host without one of them is fine.
            tree.import(Path::new(path))?;
        }
    }
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n");
    for (path, text) in [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/nsswitch.conf", NSSWITCH),
        ("/etc/hosts", &hosts),
        ("/etc/hostname", &format!("{hostname}\n")),
    ] {
        tree.generate(path, 0o644, Content::Bytes(text.into()))?;
    }
    // What is mounted: programs from before /proc look there (mtab(5) tells of the link).
    let mounted = Content::Link("../proc/self/mounts".into());
    tree.generate("/etc/mtab", 0o777, mounted)?;
    if origin == SystemFiles::Host {
        add_terminals(tree)?;
    }
    if uses_glibc {
        for locale in LOCALES {
            if let Found::Directory(directory) = tree.import(Path::new(locale))? {
                let host = tree.host_path(&directory);
                if host.is_dir() {
                    tree.copy(&host, &directory, Present::Keep, &mut |_, _| true)?;
                }
                break;
            }
        }
    }
    tree.import_links_of_root()
}
