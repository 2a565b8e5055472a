//! Counts of everything that can happen to a response here.

headcast::counters! {
    /// What a recorder did.
    ///
    /// When nothing is under way, `datagrams == responses + backlog + truncated + impaired` plus the sum of the refusals, and
    /// `responses == stored + duplicates + ahead + given_back`. Only what a database keeps in its hands beyond the end is
    /// in none of them: nobody knows what becomes of it.
    RecorderCounters {
        /// Datagrams received.
        datagrams,
        /// Bytes of those.
        bytes,
        /// Responses taken to be stored.
        responses,
        /// Responses not taken because the database does not keep up; they will be sent again.
        backlog,
        /// Datagrams longer than the receive buffer.
        truncated,
        /// Datagrams dropped on purpose.
        impaired,
        /// Responses stored: committed.
        stored,
        /// Responses that had been stored before.
        duplicates,
        /// Responses too far ahead of what is stored of their responder; they will be sent again.
        ahead,
        /// Responses that their responders no longer hold, and that this database has not: another one has.
        skipped,
        /// Responses taken and not known to be stored, because another recorder has become the writer, or this one
        /// stops. They will be sent again; one whose commit was not answered in time is a duplicate then.
        given_back,
        /// Messages that had no result before.
        rows,
        /// Responses stored whose result is not the first of their message.
        divergent,
        /// Bytes of the results stored.
        result_bytes,
        /// Transactions committed.
        commits,
        /// Transactions that failed; each was tried again, or its responses were given back.
        failures,
        /// Acknowledgements sent.
        acknowledgements,
        /// Acknowledgements that the kernel did not take; the responses will be sent again.
        acknowledgements_failed,
        /// Datagrams that the socket dropped because its buffer was full, as the kernel tells with the next one.
        socket_dropped,
    }
}
