//! Floor 5: files.
