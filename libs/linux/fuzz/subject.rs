//! What is fuzzed: what a program sends to a netlink socket.

use pith_linux::netlink::{ALIGNMENT, Attributes, Builder, HEADER, Requests};

/// Reads any bytes as requests with attributes, builds them anew, and reads them again. Returns how many attributes there
/// were, so that a test can tell whether it reached anything.
pub fn netlink(data: &[u8]) -> usize {
    let (mut read, mut found) = (0, 0);
    for request in Requests::new(data) {
        read += HEADER + request.body.len();
        assert!(read <= data.len(), "a byte is read twice");
        assert_eq!(request.whole.len(), HEADER + request.body.len());
        assert_eq!(request.header.length as usize, request.whole.len());
        let attributes: Vec<(u16, &[u8])> = Attributes::new(request.body).collect();
        let values: usize = attributes.iter().map(|(_, value)| 4 + value.len()).sum();
        assert!(values <= request.body.len());
        let mut builder = Builder::new(request.header, &[0_u8; 0]);
        for (kind, value) in &attributes {
            builder = builder.attribute(*kind, value);
        }
        let built = builder.finish();
        assert!(built.len().is_multiple_of(ALIGNMENT));
        let again: Vec<_> = Requests::new(&built).collect();
        assert_eq!(again.len(), 1);
        assert!(Attributes::new(again[0].body).eq(attributes.iter().copied()));
        found += attributes.len();
    }
    found
}
