//! Floor 4: devices.
