//! Neighbours: the hardware addresses of stations on the same network.

use super::*;

impl<B: Buffer> Stack<B> {
    pub(super) fn send_to_neighbour(
        &mut self,
        interface: usize,
        next: Ipv4Addr,
        mut frame: Frame<B>,
        now: Instant,
    ) {
        let key = (interface, next);
        match self.neighbours.get_mut(&key) {
            Some(Neighbour {
                hardware: Some(hardware),
                until,
                ..
            }) => {
                frame.headers[..6].copy_from_slice(&hardware.0);
                let old = *until <= now;
                if old {
                    // Still used until there is a better one.
                    *until = now + NEIGHBOUR_LIFETIME;
                }
                self.frames.push_back(frame);
                if old {
                    self.ask(interface, next);
                }
            }
            Some(neighbour) => {
                if neighbour.waiting.len() < NEIGHBOUR_QUEUE {
                    neighbour.waiting.push(frame);
                }
            }
            None => {
                if self.neighbours.len() >= NEIGHBOURS {
                    self.neighbours.pop_first();
                }
                let neighbour = Neighbour {
                    hardware: None,
                    until: now + NEIGHBOUR_INTERVAL,
                    retries: 0,
                    waiting: Vec::from([frame]),
                };
                self.neighbours.insert(key, neighbour);
                self.ask(interface, next);
            }
        }
    }

    pub(super) fn send_arp(
        &mut self,
        interface: usize,
        packet: arp::Packet,
        destination: HardwareAddress,
    ) {
        let frame = ethernet::Header {
            destination,
            source: packet.sender.0,
            kind: ethernet::ARP,
        };
        let mut headers = Headers::new();
        headers.push(&frame.bytes());
        headers.push(&packet.bytes());
        self.frames.push_back(Frame {
            interface,
            headers,
            payload: Pieces::default(),
            partial: None,
            cut: None,
        });
    }

    /// Asks for the hardware address of a neighbour.
    pub(super) fn ask(&mut self, interface: usize, address: Ipv4Addr) {
        let one = &self.interfaces[interface];
        let (Some(hardware), Some((own, _))) = (one.hardware, one.address) else {
            return;
        };
        let question = arp::Packet {
            is_reply: false,
            sender: (hardware, own),
            target: (HardwareAddress::default(), address),
        };
        self.send_arp(interface, question, HardwareAddress::BROADCAST);
    }

    pub(super) fn receive_arp(
        &mut self,
        interface: usize,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let packet = arp::Packet::read(bytes)?;
        let one = &self.interfaces[interface];
        let (Some(hardware), Some((own, _))) = (one.hardware, one.address) else {
            return Ok(());
        };
        let (sender, address) = packet.sender;
        if sender.is_group() || address == own {
            return Ok(());
        }
        let asked = packet.target.1 == own;
        let known = self.neighbours.contains_key(&(interface, address));
        if known || asked && one.is_neighbour(address) && self.neighbours.len() < NEIGHBOURS {
            let entry = self
                .neighbours
                .entry((interface, address))
                .or_insert(Neighbour {
                    hardware: None,
                    until: now,
                    retries: 0,
                    waiting: Vec::new(),
                });
            entry.hardware = Some(sender);
            entry.until = now + NEIGHBOUR_LIFETIME;
            entry.retries = 0;
            for mut frame in core::mem::take(&mut entry.waiting) {
                frame.headers[..6].copy_from_slice(&sender.0);
                self.frames.push_back(frame);
            }
        }
        if asked && !packet.is_reply {
            let answer = arp::Packet {
                is_reply: true,
                sender: (hardware, own),
                target: packet.sender,
            };
            self.send_arp(interface, answer, sender);
        }
        Ok(())
    }
}
