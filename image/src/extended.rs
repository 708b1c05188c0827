//! Extended attributes of the host's files (xattr(7)).

use std::path::Path;

use rustix::io::Errno;

use crate::error::Error;

/// Most bytes of an extended attribute, and of the list of their names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MOST_ATTRIBUTE_BYTES: usize = 64 << 10;

/// An extended attribute: name and value.
pub(crate) type ExtendedAttribute = (Vec<u8>, Vec<u8>);

/// The extended attributes of a file or directory of the host that mean something in a machine: capabilities, and what users have given it. Those of
/// security modules and of the host's file systems stay behind.
pub(crate) fn of_host(path: &Path) -> Result<Vec<ExtendedAttribute>, Error> {
    let failed = |errno: Errno| Error::unreadable(path)(errno.into());
    let mut names = Vec::with_capacity(MOST_ATTRIBUTE_BYTES);
    match rustix::fs::listxattr(path, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        // The file system has none.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(failed(errno)),
    }
    let kept = |name: &&[u8]| name.starts_with(b"user.") || *name == b"security.capability";
    names
        .split(|byte| *byte == 0)
        .filter(kept)
        .map(|name| {
            let mut value = Vec::with_capacity(MOST_ATTRIBUTE_BYTES);
            rustix::fs::getxattr(path, name, rustix::buffer::spare_capacity(&mut value))
                .map_err(failed)?;
            Ok((name.to_vec(), value))
        })
        .collect()
}
