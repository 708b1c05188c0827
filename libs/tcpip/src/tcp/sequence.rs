//! Sequence numbers, which wrap around.

use core::ops::{Add, Sub};

/// The number of a byte, or of a place between two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(pub u32);

impl Sequence {
    /// How far it is ahead of another one; negative if it is behind.
    pub fn ahead_of(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether it comes before another one.
    pub fn is_before(self, other: Self) -> bool {
        self.ahead_of(other) < 0
    }

    /// Whether it comes after another one.
    pub fn is_after(self, other: Self) -> bool {
        self.ahead_of(other) > 0
    }

    /// The later of two.
    pub fn later(self, other: Self) -> Self {
        if self.is_after(other) { self } else { other }
    }

    /// The earlier of two.
    pub fn earlier(self, other: Self) -> Self {
        if self.is_before(other) { self } else { other }
    }

    /// Bytes from an earlier place to this; 0 if that is not earlier.
    pub fn since(self, earlier: Self) -> usize {
        self.ahead_of(earlier).max(0) as usize
    }
}

impl Add<usize> for Sequence {
    type Output = Self;

    fn add(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes as u32))
    }
}

impl Sub<usize> for Sequence {
    type Output = Self;

    fn sub(self, bytes: usize) -> Self {
        Self(self.0.wrapping_sub(bytes as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let (early, late) = (Sequence(u32::MAX - 5), Sequence(10));
        assert!(early.is_before(late) && late.is_after(early));
        assert_eq!(late.since(early), 16);
        assert_eq!(early.since(late), 0);
        assert_eq!(early + 16, late);
        assert_eq!(late - 16, early);
        assert_eq!(early.later(late), late);
        assert_eq!(early.earlier(late), early);
    }
}
