//! What calls tell programs of failures in the stack.

use pith_linux::Errno;
use pith_tcpip::stack::{Cause, Error};
use pith_tcpip::tcp::Ending;

/// Why a call can't be done.
pub fn errno(error: Error) -> Errno {
    match error {
        Error::InUse => Errno::EADDRINUSE,
        Error::NotLocal => Errno::EADDRNOTAVAIL,
        Error::Unreachable => Errno::ENETUNREACH,
        Error::NoPort | Error::NoSource => Errno::EADDRNOTAVAIL,
        Error::NoInterface => Errno::ENODEV,
        Error::State | Error::NoScope => Errno::EINVAL,
        Error::TooLong => Errno::EMSGSIZE,
        Error::Forbidden => Errno::EACCES,
        Error::TooMany => Errno::ENOBUFS,
        Error::Failed(cause) => errno_for(cause),
    }
}

/// How a connection has ended.
pub fn errno_of(ending: Ending) -> Errno {
    match ending {
        Ending::Refused => Errno::ECONNREFUSED,
        Ending::Reset => Errno::ECONNRESET,
        Ending::Broken => Errno::EPIPE,
        Ending::TimedOut => Errno::ETIMEDOUT,
        Ending::Unreachable => Errno::EHOSTUNREACH,
        Ending::NoNetwork => Errno::ENETUNREACH,
        Ending::NoProtocol => Errno::ENOPROTOOPT,
        Ending::Forbidden => Errno::EACCES,
    }
}

/// What became of a datagram that did not arrive.
pub fn errno_for(cause: Cause) -> Errno {
    match cause {
        Cause::Refused => Errno::ECONNREFUSED,
        Cause::HostUnreachable => Errno::EHOSTUNREACH,
        Cause::NetworkUnreachable => Errno::ENETUNREACH,
        Cause::NoProtocol => Errno::ENOPROTOOPT,
        Cause::TooLong => Errno::EMSGSIZE,
        Cause::HostDown => Errno::EHOSTDOWN,
        Cause::Isolated => Errno::ENONET,
        Cause::SourceRoute => Errno::EOPNOTSUPP,
        Cause::Forbidden => Errno::EACCES,
        Cause::Malformed => Errno::EPROTO,
    }
}
