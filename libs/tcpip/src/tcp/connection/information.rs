//! What a connection tells of itself: `TCP_INFO` of tcp(7).

use super::*;

/// How things stand with losses, as `tcpi_ca_state` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// All goes well.
    None = 0,
    /// Something came out of order.
    Disorder = 1,
    /// Something was lost, and is sent again.
    Recovery = 3,
    /// Nothing came back in time.
    Loss = 4,
}

/// What `struct tcp_info` says. Times are in nanoseconds, data in bytes, and what Linux counts in segments in segments.
#[derive(Clone, Copy, Debug)]
pub struct Information {
    /// Where it is in its life.
    pub state: State,
    /// How things stand with losses.
    pub trouble: Trouble,
    /// Times that the oldest segment was sent again in vain.
    pub retransmits: u32,
    /// Questions to a silent peer: of keep-alive or of the closed window.
    pub probes: u32,
    /// How often the timeout was doubled.
    pub backoff: u32,
    /// Timestamps, SACK, and the two window scales if there are any.
    pub timestamps: bool,
    /// See [`Self::timestamps`].
    pub sack: bool,
    /// The peer's shift, and the own one.
    pub scales: Option<(u8, u8)>,
    /// After this time without acknowledgement a segment is sent again.
    pub timeout: u64,
    /// An acknowledgement waits at most so long.
    pub acknowledgement_timeout: u64,
    /// Data of a full segment to the peer.
    pub send_segment: usize,
    /// Data of a full segment from the peer, as far as is known.
    pub receive_segment: usize,
    /// What the peer was told of the size of segments.
    pub advertised_segment: usize,
    /// Segments that were sent and not acknowledged, those of them that have arrived, are lost, and were sent again.
    pub segments: [usize; 4],
    /// The round trip, how much it varies, and the shortest.
    pub round_trip: u64,
    /// See [`Self::round_trip`].
    pub variation: u64,
    /// See [`Self::round_trip`].
    pub shortest: u64,
    /// The slow-start threshold in segments; `None` if there is none yet.
    pub threshold: Option<usize>,
    /// The congestion window in segments.
    pub window: usize,
    /// The round trip of the peer's data, and what the program takes in one.
    pub receive_round_trip: u64,
    /// See [`Self::receive_round_trip`].
    pub receive_space: usize,
    /// The threshold of the receive window, and the window that the peer was told.
    pub receive_threshold: usize,
    /// See [`Self::receive_threshold`].
    pub receive_window: usize,
    /// The window that the peer has told.
    pub send_window: usize,
    /// Data that was not sent.
    pub unsent: usize,
    /// Time since data was sent, since data came, and since anything came.
    pub since: [u64; 3],
    /// Segments that were sent again in all.
    pub sent_again: u32,
    /// Bytes that were sent, that were sent again, that the peer has acknowledged, and that have come.
    pub bytes_sent: u64,
    /// See [`Self::bytes_sent`].
    pub bytes_again: u64,
    /// See [`Self::bytes_sent`].
    pub bytes_acknowledged: u64,
    /// See [`Self::bytes_sent`].
    pub bytes_received: u64,
    /// Segments out and in, and those with data out and in.
    pub counts: [u32; 4],
    /// Segments that came twice, that the peer got twice, and that came out of order.
    pub received_twice: u32,
    /// See [`Self::received_twice`].
    pub peer_received_twice: u32,
    /// See [`Self::received_twice`].
    pub out_of_order: u32,
    /// Whether the network reorders.
    pub reordering: bool,
}

impl<B: Buffer> Connection<B> {
    /// Segments that were sent again.
    pub fn sent_again(&self) -> u32 {
        self.counters.sent_again
    }

    /// What it tells of itself.
    pub fn information(&self, now: Instant) -> Information {
        let counters = &self.counters;
        let segments = self.sender.counts();
        let trouble = match self.trouble {
            Trouble::None if segments[1] != 0 => Trouble::Disorder,
            trouble => trouble,
        };
        let threshold = self.congestion.threshold();
        Information {
            state: self.state,
            trouble,
            retransmits: self.retries,
            probes: self.persist_unanswered.max(self.keep_alive_sent),
            backoff: self.round_trip.backoff(),
            timestamps: self.timestamps.is_some(),
            sack: self.sack,
            scales: self.receive_shift.map(|own| (self.send_shift, own)),
            timeout: self.round_trip.timeout(),
            acknowledgement_timeout: DELAYED_ACKNOWLEDGEMENT,
            send_segment: self.segment,
            receive_segment: self.largest_received,
            advertised_segment: self.own_segment,
            segments,
            round_trip: self.round_trip.smoothed(),
            variation: self.round_trip.variation(),
            shortest: self.round_trip.shortest(),
            threshold: (threshold != usize::MAX).then(|| threshold / self.segment.max(1)),
            window: self.congestion.window() / self.segment.max(1),
            receive_round_trip: self.tuning.round_trip,
            receive_space: self.tuning.space,
            receive_threshold: self.receiver.capacity(),
            receive_window: self.receiver.told_window(),
            send_window: self.window,
            unsent: self.sender.unsent(),
            since: [
                now.since(counters.last_data_sent),
                now.since(counters.last_data_received),
                now.since(self.last_heard),
            ],
            sent_again: counters.sent_again,
            bytes_sent: counters.bytes_sent + counters.bytes_again,
            bytes_again: counters.bytes_again,
            bytes_acknowledged: counters.bytes_acknowledged,
            bytes_received: counters.bytes_received,
            counts: [
                counters.segments_out,
                counters.segments_in,
                counters.data_segments_out,
                counters.data_segments_in,
            ],
            received_twice: counters.received_twice,
            peer_received_twice: counters.peer_received_twice,
            out_of_order: counters.out_of_order,
            reordering: self.sender.saw_reordering(),
        }
    }
}
