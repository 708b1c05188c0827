//! Address spaces.
use pith_address_space::Protection;
/// x
pub struct AddressSpace;
/// x
pub struct Backing;
/// x
pub struct FaultError;
/// x
pub struct Layout;
/// x
pub struct MapRequest { pub protection: Protection }
/// x
pub struct Placement;
impl AddressSpace { pub fn activate(&self) {} }
