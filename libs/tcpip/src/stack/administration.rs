//! What an administrator changes about interfaces while the machine runs.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Puts an interface into use, or out of it. As on Linux, with its use end all ways by it and its addresses of version
    /// 6; in use again, it has the ways to its networks, and its address of the link.
    ///
    /// # Errors
    /// [`Error::NoInterface`]
    pub fn set_up(&mut self, interface: usize, up: bool, now: Instant) -> Result<(), Error> {
        let one = self
            .interfaces
            .get_mut(interface)
            .ok_or(Error::NoInterface)?;
        if one.up == up {
            return Ok(());
        }
        one.up = up;
        self.revision += 1;
        let addresses: Vec<Address> = one.addresses.clone();
        let hardware = one.hardware;
        if up {
            for own in addresses {
                self.add_way_to_network(interface, own.ip, own.prefix);
            }
            match hardware {
                Some(hardware) => {
                    self.add_address(interface, link_local_address(hardware).into(), 64, now);
                }
                None => self.add_address(interface, Ipv6Addr::LOCALHOST.into(), 128, now),
            }
            return Ok(());
        }
        for own in addresses.iter().filter(|own| own.ip.is_ipv6()) {
            self.remove_address(interface, own.ip, now);
        }
        self.routes.retain(|route| route.interface != interface);
        Ok(())
    }

    /// Sets how many bytes a packet at an interface may have.
    ///
    /// # Errors
    /// [`Error::NoInterface`]; [`Error::State`] for more than the card can carry, or fewer than any network (RFC 791).
    pub fn set_mtu(&mut self, interface: usize, mtu: usize) -> Result<(), Error> {
        const LEAST: usize = 68;
        let one = self
            .interfaces
            .get_mut(interface)
            .ok_or(Error::NoInterface)?;
        if !(LEAST..=one.link_mtu).contains(&mtu) {
            return Err(Error::State);
        }
        (one.mtu, one.mtu_v6) = (mtu, mtu.max(ipv6::LEAST_MTU));
        self.revision += 1;
        Ok(())
    }

    /// Gives an interface an address without asking whether others have it.
    pub fn add_address_unasked(&mut self, interface: usize, ip: IpAddr, prefix: u8, now: Instant) {
        self.add_address(interface, ip, prefix, now);
        let list = &mut self.interfaces[interface].addresses;
        if let Some(own) = list.iter_mut().find(|own| own.ip == ip) {
            (own.state, own.certain) = (AddressState::Preferred, None);
        }
    }
}
