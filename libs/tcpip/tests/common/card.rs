//! What a network card does with frames: completes checksums, cuts large segments, puts segments together. Written from
//! the descriptions in section 5.1.6 of the virtio specification, and not with the code that is tested.

use super::Memory;
use pith_tcpip::Slice;
use pith_tcpip::buffer::Pieces;
use pith_tcpip::stack::{Cut, CutInto, Frame, Received};

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn word(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

fn put(bytes: &mut [u8], offset: usize, value: u16) {
    bytes[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
}

/// Completes the checksum at `start + offset`.
fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let checksum = !(sum(&frame[start..]) as u16);
    put(frame, start + offset, checksum);
}

/// The frames that go on the wire.
pub fn to_wire(frame: &Frame<Memory>) -> Vec<Vec<u8>> {
    let whole = frame.to_vec();
    let Some(partial) = frame.partial else {
        assert_eq!(frame.cut, None);
        return vec![whole];
    };
    let (start, offset) = (usize::from(partial.start), usize::from(partial.offset));
    let Some(cut) = frame.cut else {
        let mut whole = whole;
        complete(&mut whole, start, offset);
        return vec![whole];
    };
    match cut.into {
        CutInto::Segments => {}
        CutInto::Parts => return parts(whole, cut, start, offset),
        CutInto::Datagrams => return datagrams(&whole, cut),
    }
    assert!(!cut.over_v6);
    assert_eq!(start, 34, "Ethernet and IPv4 come before TCP");
    let data = start + usize::from(whole[start + 12] >> 4) * 4;
    let parts: Vec<&[u8]> = whole[data..].chunks(cut.size.into()).collect();
    let mut frames = Vec::new();
    let mut sequence = u32::from_be_bytes(whole[start + 4..start + 8].try_into().unwrap());
    for (index, part) in parts.iter().enumerate() {
        let mut packet = [&whole[..data], part].concat();
        put(&mut packet, 16, (data - 14 + part.len()) as u16);
        let identification = word(&whole, 18).wrapping_add(index as u16);
        put(&mut packet, 18, identification);
        put(&mut packet, 24, 0);
        let checksum = !(sum(&packet[14..34]) as u16);
        put(&mut packet, 24, checksum);
        packet[start + 4..start + 8].copy_from_slice(&sequence.to_be_bytes());
        sequence = sequence.wrapping_add(part.len() as u32);
        if index + 1 != parts.len() {
            packet[start + 13] &= !(1 | 8); // FIN, PSH
        }
        // The sum of the pseudo-header was for the length of the whole.
        let old = !((whole.len() - start) as u16);
        let new = (packet.len() - start) as u16;
        let pseudo = u32::from(word(&whole, start + offset)) + u32::from(old) + u32::from(new);
        let pseudo = (pseudo & 0xffff) + (pseudo >> 16);
        let pseudo = (pseudo & 0xffff) + (pseudo >> 16);
        put(&mut packet, start + offset, pseudo as u16);
        complete(&mut packet, start, offset);
        frames.push(packet);
    }
    frames
}

/// Cuts a datagram into parts of IPv4, after its checksum was completed.
fn parts(mut whole: Vec<u8>, cut: Cut, start: usize, offset: usize) -> Vec<Vec<u8>> {
    assert!(!cut.over_v6);
    assert_eq!(
        (start, offset),
        (34, 6),
        "Ethernet and IPv4 come before UDP"
    );
    assert_eq!(cut.size % 8, 0, "only whole units of eight bytes");
    assert_eq!(word(&whole, 20), 0, "it may be cut, and is whole");
    complete(&mut whole, start, offset);
    let list: Vec<&[u8]> = whole[start..].chunks(cut.size.into()).collect();
    let mut frames = Vec::new();
    for (index, part) in list.iter().enumerate() {
        let mut packet = [&whole[..start], part].concat();
        put(&mut packet, 16, (20 + part.len()) as u16);
        let more = if index + 1 < list.len() { 0x2000 } else { 0 };
        let units = (index * usize::from(cut.size) / 8) as u16;
        put(&mut packet, 20, more | units);
        put(&mut packet, 24, 0);
        let checksum = !(sum(&packet[14..34]) as u16);
        put(&mut packet, 24, checksum);
        frames.push(packet);
    }
    frames
}

/// Cuts what is behind a header of UDP over IPv4 into datagrams.
fn datagrams(whole: &[u8], cut: Cut) -> Vec<Vec<u8>> {
    assert!(!cut.over_v6);
    let addresses = &whole[26..34];
    assert_eq!(
        usize::from(word(whole, 38)),
        whole.len() - 34,
        "UDP's length"
    );
    let mut frames = Vec::new();
    for part in whole[42..].chunks(cut.size.into()) {
        let mut packet = [&whole[..42], part].concat();
        put(&mut packet, 16, (28 + part.len()) as u16);
        put(&mut packet, 24, 0);
        let checksum = !(sum(&packet[14..34]) as u16);
        put(&mut packet, 24, checksum);
        let length = (8 + part.len()) as u16;
        put(&mut packet, 38, length);
        let pseudo = [addresses, &[0, 17], &length.to_be_bytes()].concat();
        put(&mut packet, 40, sum(&pseudo) as u16);
        complete(&mut packet, 34, 6);
        frames.push(packet);
    }
    frames
}

/// The frames of one segment that was cut, put together again, in buffers of `room` bytes.
pub fn put_together(frames: &[Vec<u8>], room: usize) -> Received<Memory> {
    let first = &frames[0];
    let data = 34 + usize::from(first[46] >> 4) * 4;
    let mut whole = first.clone();
    for frame in &frames[1..] {
        whole.extend_from_slice(&frame[data..]);
    }
    let flags = frames.iter().fold(0, |flags, frame| flags | frame[47]);
    whole[47] = flags;
    let length = (whole.len() - 14) as u16;
    put(&mut whole, 16, length);
    put(&mut whole, 24, 0);
    let checksum = !(sum(&whole[14..34]) as u16);
    put(&mut whole, 24, checksum);
    let mut bytes = Pieces::default();
    for part in whole.chunks(room) {
        bytes.push(Slice::new(Memory::from(part)));
    }
    Received {
        bytes,
        verified: true,
    }
}
