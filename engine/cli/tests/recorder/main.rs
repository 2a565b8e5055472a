//! What the recorder must stand: kills, losses, forgery, databases that are gone, slow, full or exchanged.
//!
//! Responders of this process respond over loopback to the program's recorder, and what is in the database
//! is read past it and compared with what was sent.

mod account;
mod backlog;
#[path = "../lab/chance.rs"]
mod chance;
mod crowd;
mod database;
mod exchanged;
mod fenced;
mod forged;
mod forgeries;
mod killed;
mod lies;
mod load;
mod lossy;
mod mounts;
mod postgres_gone;
mod process;
mod proxy;
mod raw;
mod readers;
mod responder_killed;
mod scale;
#[path = "../../../recorder/tests/support/postgres.rs"]
mod server;
mod standby;
mod starting;
mod stopping;
mod subscribers;
mod support;
mod unusable;
mod unusual;
