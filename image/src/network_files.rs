//! The files that programs with sockets expect: where name servers are told, names of services, certificates.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::tree::{Content, Found, Present, Tree};

/// Where the kernel tells which name servers there are, in the notation of resolv.conf(5). Linux has it there too, for
/// machines whose kernel sets the network up (`Documentation/admin-guide/nfs/nfsroot.rst`).
const RESOLVER: &str = "/proc/net/pnp";

/// Names of services and protocols (services(5), protocols(5)), and which addresses to prefer (gai.conf(5)).
const NAMES: [&str; 3] = ["/etc/services", "/etc/protocols", "/etc/gai.conf"];

/// Libraries that check certificates, by how their names start, and where they look for those of authorities.
const AUTHORITIES: [(&str, &[&str]); 3] = [
    (
        "libssl.so",
        &[
            "/usr/lib/ssl/cert.pem",
            "/usr/lib/ssl/openssl.cnf",
            "/etc/ssl/openssl.cnf",
            "/usr/lib/ssl/certs",
        ],
    ),
    ("libgnutls.so", &["/etc/ssl/certs/ca-certificates.crt"]),
    ("libcurl", &["/etc/ssl/certs/ca-certificates.crt"]),
];

/// Adds what is not in the tree yet.
pub(crate) fn add(tree: &mut Tree, looks_names_up: bool) -> Result<(), Error> {
    tree.generate("/etc/resolv.conf", 0o777, Content::Link(RESOLVER.into()))?;
    if looks_names_up {
        for path in NAMES {
            // A host without one of them is fine.
            tree.import(Path::new(path))?;
        }
    }
    for (library, places) in AUTHORITIES {
        let is_there = tree.iter().any(|(path, _)| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(library.as_bytes()))
        });
        if is_there {
            for place in places {
                import_all(tree, Path::new(place))?;
            }
        }
    }
    Ok(())
}

/// Adds a file of the host, or a directory with what its links lead to.
fn import_all(tree: &mut Tree, path: &Path) -> Result<(), Error> {
    let Found::Directory(directory) = tree.import(path)? else {
        return Ok(());
    };
    let host = tree.host_path(&directory);
    if !host.is_dir() {
        return Ok(());
    }
    tree.copy(&host, &directory, Present::Keep, &mut |_, _| true)?;
    let links: Vec<PathBuf> = tree
        .iter()
        .filter(|(path, node)| {
            path.starts_with(&directory) && matches!(node.content, Content::Link(_))
        })
        .map(|(path, _)| path.into())
        .collect();
    for link in links {
        tree.import(&link)?;
    }
    Ok(())
}
