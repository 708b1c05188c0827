//! The machine's network card.

use spin::Once;

use super::virtio::Failure;
use super::virtio::network::VirtioNetwork;
use crate::sync::InterruptMutex;

static CARD: InterruptMutex<Option<VirtioNetwork>> = InterruptMutex::new(None);
static ARRIVED: Once<fn()> = Once::new();

/// Sets the card up. `arrived` is called by interrupt handlers when frames may have come. Returns its address.
///
/// # Errors
/// Why it can't be used.
pub fn initialise(command_line: &str, arrived: fn()) -> Result<[u8; 6], Failure> {
    ARRIVED.call_once(|| arrived);
    let card = VirtioNetwork::find(command_line, interrupt)?;
    let address = card.address();
    *CARD.lock() = Some(card);
    Ok(address)
}

fn interrupt() {
    if let Some(card) = &mut *CARD.lock() {
        card.acknowledge_interrupt();
    }
    if let Some(arrived) = ARRIVED.get() {
        arrived();
    }
}

/// Sends a frame, given in pieces.
pub fn send<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    if let Some(card) = &mut *CARD.lock() {
        card.send(pieces);
    }
}

/// Takes up to `most` frames that have come. Returns how many there were.
pub fn receive(most: usize, take: &mut dyn FnMut(&[u8])) -> usize {
    CARD.lock().as_mut().map_or(0, |card| card.receive(most, take))
}
