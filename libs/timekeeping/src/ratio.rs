//! Multiplication by a fraction that is fixed, without a division each time.

/// A fixed ratio, with 32 binary digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u64);

impl Ratio {
    /// Binary digits behind the point.
    pub const FRACTION_BITS: u32 = 32;

    /// `numerator / denominator`, rounded down; as large as possible if the denominator is zero or the ratio has no room.
    pub fn new(numerator: u64, denominator: u64) -> Self {
        let scaled = u128::from(numerator) << Self::FRACTION_BITS;
        let ratio = scaled.checked_div(u128::from(denominator));
        Self(
            ratio
                .and_then(|ratio| ratio.try_into().ok())
                .unwrap_or(u64::MAX),
        )
    }

    /// The ratio times 2^[`Ratio::FRACTION_BITS`].
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The ratio times a number, rounded down; `u64::MAX` if that is too large.
    pub fn of(self, number: u64) -> u64 {
        let product = (u128::from(number) * u128::from(self.0)) >> Self::FRACTION_BITS;
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}
