//! Random numbers: ChaCha20, seeded by the processor.
//!
//! The key is erased fast: each request derives a generator of its own from the key, and the key is replaced
//! before any of the output is seen. Whoever reads the kernel's memory later learns nothing about numbers
//! that were handed out before. Fresh entropy is mixed in from time to time.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use spin::Mutex;

use crate::arch::{self, EntropyQuality};

/// Requests after which fresh entropy is mixed in.
const RESEED_AFTER: u32 = 1024;

struct State {
    key: [u8; 32],
    requests: u32,
    quality: EntropyQuality,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// An endless supply of random bytes for one request.
pub struct Stream(ChaCha20Rng);

impl Stream {
    /// A stream that nobody else shares.
    pub fn new() -> Self {
        let mut guard = STATE.lock();
        let state = guard.get_or_insert_with(|| {
            let (key, quality) = arch::entropy_seed();
            if quality == EntropyQuality::Jitter {
                crate::warning!(
                    "the processor has no random number generator (RDRAND): random numbers come from timing \
                     only and must not be used for secrets; choose a CPU model that has one"
                );
            }
            State {
                key,
                requests: 0,
                quality,
            }
        });
        state.requests += 1;
        // Jitter is slow to collect and not getting better: it is only collected once.
        if state.requests >= RESEED_AFTER && state.quality == EntropyQuality::Hardware {
            state.requests = 0;
            let (fresh, _) = arch::entropy_seed();
            for (byte, fresh) in state.key.iter_mut().zip(fresh) {
                *byte ^= fresh;
            }
        }
        let mut parent = ChaCha20Rng::from_seed(state.key);
        parent.fill_bytes(&mut state.key);
        let mut key = [0; 32];
        parent.fill_bytes(&mut key);
        Self(ChaCha20Rng::from_seed(key))
    }

    /// Fills a buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Fills a buffer with random bytes.
pub fn fill(bytes: &mut [u8]) {
    Stream::new().fill(bytes);
}
