//! Packets whose headers of IP programs make themselves (`IP_HDRINCL` in `raw(7)`).

use super::*;

/// The first byte of a header of IPv4 without options has this as its lower half: its length in words.
const WORDS: u8 = 15;

impl<B: Buffer> Stack<B> {
    /// Sends a packet as a program has made it; of IPv4, what it leaves open is filled in. It is not cut into parts.
    pub(super) fn send_with_own_header(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        data: Slice<B>,
        exception: Exception,
        now: Instant,
    ) -> Result<(), Error> {
        let least = match to.or_else(|| self.remote(handle)) {
            Some(SocketAddr::V6(_)) => ipv6::HEADER,
            _ => ipv4::HEADER,
        };
        let way_out = self.prepare(handle, to, exception, data.len().saturating_sub(least), now)?;
        let packet = way_out.packet;
        let way = self.route(packet.destination, packet.scope)?;
        if data.len() > self.interfaces[way.interface].mtu_for(packet.destination) {
            return Err(Error::TooLong);
        }
        if data.len() < least {
            return Err(Error::State);
        }
        let header = match packet.source {
            IpAddr::V4(source) => self.completed(&data, source)?,
            IpAddr::V6(_) => Vec::from(&data[..least]),
        };
        let rest = data.part(header.len(), data.len() - header.len());
        let station = self.station(way.interface, packet.destination);
        let mut headers = Headers::new();
        if let Some(source) = self.interfaces[way.interface].hardware {
            let frame = ethernet::Header {
                destination: station.unwrap_or_default(),
                source,
                kind: match packet.source {
                    IpAddr::V4(_) => ethernet::IPV4,
                    IpAddr::V6(_) => ethernet::IPV6,
                },
            };
            headers.push(&frame.bytes());
        }
        headers.push(&header);
        let frame = Frame {
            interface: way.interface,
            headers,
            payload: rest.into(),
            partial: None,
            cut: None,
            lane: None,
        };
        self.hand_over(way, station.is_some(), frame, now);
        Ok(())
    }

    /// The header of IPv4 at the start of a packet: its length and checksum are always made, source and number if they
    /// are 0.
    fn completed(&mut self, data: &Slice<B>, source: Ipv4Addr) -> Result<Vec<u8>, Error> {
        let length = usize::from(data[0] & WORDS) * 4;
        if length > data.len() {
            return Err(Error::State);
        }
        let mut header = Vec::from(&data[..length.max(ipv4::HEADER)]);
        // As on Linux, what says that it is shorter than any header is sent as it is.
        if length >= ipv4::HEADER {
            header[2..4].copy_from_slice(&(data.len() as u16).to_be_bytes());
            if header[4..6] == [0, 0] {
                self.identification = self.identification.wrapping_add(1);
                header[4..6].copy_from_slice(&(self.identification as u16).to_be_bytes());
            }
            if header[12..16] == [0; 4] {
                header[12..16].copy_from_slice(&source.octets());
            }
            header[10..12].fill(0);
            let checksum = Sum::default().bytes(&header).checksum();
            header[10..12].copy_from_slice(&checksum);
        }
        Ok(header)
    }
}
