//! Processor time, told apart by samples.

/// How much of some processor time was spent in the program and how much in the kernel, as it was told last. The whole is
/// measured; its parts are what samples make likely, and neither of them ever shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// In the program, in nanoseconds.
    pub program: u64,
    /// In the kernel, in nanoseconds.
    pub kernel: u64,
}

impl Split {
    /// A split that was never told.
    pub const NOTHING: Self = Self {
        program: 0,
        kernel: 0,
    };

    /// Divides a whole, in nanoseconds, of which so many samples found the program and the kernel. Without samples all of it
    /// is the program's.
    pub fn divide(&mut self, whole: u64, samples: (u64, u64)) -> Self {
        // What was told may be more than the whole if several ask at once.
        if whole > self.program.saturating_add(self.kernel) {
            let kernel = share(whole, samples).max(self.kernel);
            let program = (whole - kernel.min(whole)).max(self.program);
            *self = Self {
                program,
                kernel: whole - program,
            };
        }
        *self
    }
}

/// The kernel's share of a whole.
fn share(whole: u64, (mut program, mut kernel): (u64, u64)) -> u64 {
    // So that products fit; it takes a year of samples.
    while (program | kernel) >> 31 != 0 {
        (program, kernel) = (program >> 1, kernel >> 1);
    }
    match program + kernel {
        0 => 0,
        all => whole / all * kernel + whole % all * kernel / all,
    }
}
