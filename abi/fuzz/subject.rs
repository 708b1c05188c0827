//! What is fuzzed: the header and the configuration of an image of any bytes.

use pith_abi::image::{Configuration, ImageHeader};
use zerocopy::{FromBytes, IntoBytes};

/// Decodes any bytes as the kernel does. True if they were a configuration.
pub fn configuration(data: &[u8]) -> bool {
    if let Ok((header, _)) = ImageHeader::read_from_prefix(data) {
        assert_eq!(header.as_bytes(), &data[..size_of::<ImageHeader>()]);
    }
    let Ok(configuration) = postcard::from_bytes::<Configuration>(data) else {
        return false;
    };
    // What was decoded is in the bytes: nothing makes a small image a large configuration.
    let mut held = configuration.kernel_version.len() + configuration.hostname.len();
    held += configuration.program.len() + configuration.working_directory.len();
    held += configuration.arguments.iter().map(Vec::len).sum::<usize>();
    held += configuration
        .environment
        .iter()
        .map(Vec::len)
        .sum::<usize>();
    held += configuration.network.iter().map(String::len).sum::<usize>();
    held += configuration.storage.iter().map(String::len).sum::<usize>();
    assert!(held <= data.len());
    let encoded = postcard::to_allocvec(&configuration).expect("what was decoded can be encoded");
    assert_eq!(postcard::from_bytes(&encoded), Ok(configuration));
    true
}
