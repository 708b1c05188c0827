//! Counts of packets and what became of them, in the terms of RFC 4293 (IP, ICMP), RFC 4022 (TCP) and RFC 4113 (UDP).

use super::*;

/// What is counted for each version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Packets that came (`InReceives`), and their bytes.
    Received,
    /// Bytes of them (`InOctets`).
    ReceivedBytes,
    /// Packets whose header made no sense (`InHdrErrors`).
    WrongHeaders,
    /// Packets for others (`InAddrErrors`).
    ForOthers,
    /// Packets of protocols that nobody knows (`InUnknownProtos`).
    UnknownProtocols,
    /// Packets that came and were given to whom they are for (`InDelivers`).
    Delivered,
    /// Packets that were to go out (`OutRequests`).
    Sent,
    /// Bytes of them (`OutOctets`).
    SentBytes,
    /// Packets to where no way leads (`OutNoRoutes`).
    NoWay,
    /// Parts that came (`ReasmReqds`).
    Parts,
    /// Packets that were put together of them (`ReasmOKs`).
    Joined,
    /// Packets whose parts were given up (`ReasmFails`).
    NotJoined,
    /// Packets that were cut (`FragOKs`).
    Cut,
    /// Parts that were made of them (`FragCreates`).
    PartsMade,
    /// Messages of ICMP that came (`InMsgs`).
    Messages,
    /// Those that made no sense (`InErrors`).
    WrongMessages,
    /// Those of them whose checksum was wrong (`InCsumErrors`).
    MessageChecksums,
    /// Messages that went (`OutMsgs`).
    MessagesSent,
    /// Datagrams that programs took (`InDatagrams`).
    Datagrams,
    /// Datagrams for ports that nobody has (`NoPorts`).
    NoPort,
    /// Datagrams that were lost for other reasons (`InErrors`).
    DatagramErrors,
    /// Datagrams that went (`OutDatagrams`).
    DatagramsSent,
    /// Those of the lost ones for which there was no room (`RcvbufErrors`).
    DatagramsWithoutRoom,
    /// Those of the lost ones whose checksum was wrong (`InCsumErrors`).
    DatagramChecksums,
}

/// How many there are.
const COUNTS: usize = Count::DatagramChecksums as usize + 1;

/// What is counted for TCP, whatever it travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamCount {
    /// Connections that were asked for (`ActiveOpens`).
    Asked,
    /// Connections that others asked for (`PassiveOpens`).
    Answered,
    /// Connections that did not come about (`AttemptFails`).
    Failed,
    /// Connections that ended at once (`EstabResets`).
    Broken,
    /// Segments that came (`InSegs`).
    Received,
    /// Segments that went, for the first time (`OutSegs`).
    Sent,
    /// Segments that went again (`RetransSegs`).
    Again,
    /// Segments that made no sense (`InErrs`).
    Wrong,
    /// Those of them whose checksum was wrong (`InCsumErrors`).
    Checksums,
    /// Resets that went (`OutRsts`).
    Resets,
}

/// How many there are.
const STREAM_COUNTS: usize = StreamCount::Resets as usize + 1;

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Counters {
    counts: [[u64; COUNTS]; 2],
    streams: [u64; STREAM_COUNTS],
    /// Messages of ICMP of each version, in and out, by their kind.
    messages: [[[u32; 256]; 2]; 2],
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            counts: [[0; COUNTS]; 2],
            streams: [0; STREAM_COUNTS],
            messages: [[[0; 256]; 2]; 2],
        }
    }

    /// How often something has happened, with IPv6 or with IPv4.
    pub fn get(&self, v6: bool, what: Count) -> u64 {
        self.counts[usize::from(v6)][what as usize]
    }

    /// How often something has happened to connections.
    pub fn streams(&self, what: StreamCount) -> u64 {
        self.streams[what as usize]
    }

    /// How many messages of a kind went, or came.
    pub fn messages(&self, v6: bool, out: bool, kind: u8) -> u32 {
        self.messages[usize::from(v6)][usize::from(out)][usize::from(kind)]
    }

    pub(super) fn add(&mut self, v6: bool, what: Count, more: usize) {
        self.counts[usize::from(v6)][what as usize] += more as u64;
    }

    pub(super) fn one(&mut self, v6: bool, what: Count) {
        self.add(v6, what, 1);
    }

    pub(super) fn stream(&mut self, what: StreamCount) {
        self.streams[what as usize] += 1;
    }

    pub(super) fn add_streams(&mut self, what: StreamCount, more: u64) {
        self.streams[what as usize] += more;
    }

    /// A message of ICMP has come or goes.
    pub(super) fn message(&mut self, v6: bool, out: bool, kind: u8) {
        let count = &mut self.messages[usize::from(v6)][usize::from(out)][usize::from(kind)];
        *count = count.wrapping_add(1);
        let what = match out {
            true => Count::MessagesSent,
            false => Count::Messages,
        };
        self.one(v6, what);
    }

    /// A connection has gone from one state to another.
    pub(super) fn note_states(&mut self, before: State, after: State) {
        match (before, after) {
            (State::SynSent | State::SynReceived, State::Closed) => {
                self.stream(StreamCount::Failed)
            }
            (State::Established | State::CloseWait, State::Closed) => {
                self.stream(StreamCount::Broken)
            }
            _ => {}
        }
    }
}

impl<B: Buffer> Stack<B> {
    /// Everything that is counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Connections that are there (`CurrEstab`).
    pub fn established(&self) -> usize {
        let mut count = 0;
        for (_, socket) in self.sockets.iter() {
            if let Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) = socket
                && matches!(connection.state(), State::Established | State::CloseWait)
            {
                count += 1;
            }
        }
        count
    }
}
