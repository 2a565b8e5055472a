//! Why a datagram was not accepted.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a datagram was not accepted; each reason is counted on its own.
        ///
        /// In the order in which a receiver checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// All reasons, in order: `Refusal::ALL[r as usize] == r`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason as counters and logs spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

refusals! {
    /// Shorter than a header.
    TooShort = "too_short",
    /// Another version of the protocol, or not this protocol at all.
    Version = "version",
    /// A type that version 1 does not have.
    Kind = "kind",
    /// A reserved bit of the flags or of the path byte is set.
    ReservedBits = "reserved_bits",
    /// Header, extension, payload and tag do not add up to the datagram's length.
    PayloadLength = "payload_length",
    /// A malformed extension, or an unknown entry that must not be ignored.
    Extension = "extension",
    /// Sealed, and this receiver has no keys; or a key without a seal, or the other way round.
    Sealed = "sealed",
    /// Sequence 0 where sequences start at 1.
    Sequence = "sequence",
    /// The session starts after the datagram's own timestamp.
    SessionAfterTimestamp = "session_after_timestamp",
    /// Fragment fields that contradict each other.
    Fragment = "fragment",
    /// A coalesced payload that is not exactly its messages.
    Coalesced = "coalesced",
    /// A payload that is not what the type demands.
    Body = "body",
    /// A type that this receiver has no use for.
    Unexpected = "unexpected",
    /// A stream that this receiver did not ask for.
    Stream = "stream",
    /// The table of publishers is full of publishers that are being heard.
    TableFull = "table_full",
    /// Of a session that a later one has replaced.
    SessionOld = "session_old",
    /// A later session whose timestamp is too far from now, while the current one is heard.
    SessionImplausible = "session_implausible",
    /// More than a window ahead, and not confirmed.
    Jump = "jump",
    /// So old that the window has forgotten it.
    Behind = "behind",
    /// It came after it had been given up.
    Late = "late",
    /// A part of a message that is longer than this receiver accepts.
    MessageTooLong = "message_too_long",
    /// There was no room to keep it until its time.
    Memory = "memory",
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}
