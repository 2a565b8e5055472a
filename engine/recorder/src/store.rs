//! Stores batches of responses: what it means to store one is said here, for every kind of database.

mod backend;
mod fold;
mod known;
pub(crate) mod postgres;
pub(crate) mod schema;
pub(crate) mod sqlite;

use backend::{Amendment, Backend, Begun, Progress, Row, Said};
use fold::{Fold, Fresh};
use known::Known;

use crate::{Batch, Database, Receipt, StoreError, Tally};

/// How a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Whether every response is kept, and not only the first result of each message and what differs from it.
    pub keep_all: bool,
    /// What an acknowledged response survives.
    pub durability: Durability,
}

/// What an acknowledged response survives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durability {
    /// A power cut: each commit waits for the disk.
    #[default]
    Power,
    /// The death of the recorder. What a power cut takes with it is gone, though it was acknowledged.
    Process,
}

/// A database whose only writer we are.
///
/// It blocks, and with PostgreSQL it must not be used on a thread of an asynchronous runtime.
pub struct Store {
    backend: Box<dyn Backend>,
    keep_all: bool,
    /// What the database has of responders and streams, as far as it is remembered.
    known: Known,
    fold: Fold,
}

impl Store {
    /// Opens a database for writing, creates or renews its tables, and becomes its only writer.
    ///
    /// `None` if another recorder is its writer: stand by, and try again.
    ///
    /// # Errors
    /// When it cannot be opened, or what is there is not ours.
    pub fn open(database: &Database, options: Options) -> Result<Option<Self>, StoreError> {
        let backend: Option<Box<dyn Backend>> = match database {
            Database::Sqlite(path) => sqlite::Sqlite::open(path, database.to_string(), options)?
                .map(|sqlite| Box::new(sqlite) as Box<dyn Backend>),
            Database::Postgres(config) => postgres::Postgres::open(config, database.to_string(), options)?
                .map(|postgres| Box::new(postgres) as Box<dyn Backend>),
        };
        Ok(backend.map(|backend| Self {
            backend,
            keep_all: options.keep_all,
            known: Known::default(),
            fold: Fold::default(),
        }))
    }

    /// Stores a batch by one transaction. After the commit `receipts` has one entry for each responder of the
    /// batch, also for those of which nothing was new: their acknowledgement was lost. Only who is not known
    /// and of whom nothing was stored gets none.
    ///
    /// # Errors
    /// Then nothing is stored and `receipts` is empty; the same batch may be written again. If the connection
    /// broke during the commit the batch may have been stored all the same; writing it again shows that, and
    /// counts nothing twice.
    pub fn write(&mut self, batch: &Batch, receipts: &mut Vec<Receipt>) -> Result<Tally, StoreError> {
        receipts.clear();
        let result = self.store(batch);
        match result {
            Ok(_) => self.known.receipts(receipts),
            // What is remembered may be what was rolled back.
            Err(_) => {
                self.backend.rollback();
                self.known.forget();
            }
        }
        result
    }

    /// Whether the database can still be reached, and this store is still its only writer: for times without batches.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn check(&mut self) -> Result<(), StoreError> {
        self.backend.check()
    }

    fn store(&mut self, batch: &Batch) -> Result<Tally, StoreError> {
        if self.backend.begin()? == Begun::Changed {
            self.known.forget();
        }
        let strangers = self.known.meet(batch);
        if !strangers.is_empty() {
            let found = self.backend.responders(&strangers)?;
            self.known.introduce(found);
        }
        let (fresh, mut tally) = self.known.observe(batch);
        if !self.enrol()? {
            self.backend.rollback();
            return Ok(tally);
        }
        let missing = self.known.missing_streams(&fresh);
        if !missing.is_empty() {
            let ids = self.backend.streams(&missing)?;
            self.known.remember_streams(&missing, &ids);
        }
        self.store_messages(fresh, &mut tally)?;
        self.backend.commit()?;
        Ok(tally)
    }

    /// Stores how far each responder is that has advanced. False if none has.
    fn enrol(&mut self) -> Result<bool, StoreError> {
        let (newcomers, others): (Vec<Progress>, Vec<Progress>) =
            self.known.progress().partition(|progress| progress.id.is_none());
        if !newcomers.is_empty() {
            let ids = self.backend.enrol(&newcomers)?;
            self.known.name(&ids);
        }
        if !others.is_empty() {
            self.backend.progress(&others)?;
        }
        Ok(!newcomers.is_empty() || !others.is_empty())
    }

    /// Stores the state of each message, and who differs from its first result.
    fn store_messages(&mut self, mut fresh: Vec<Fresh<'_>>, tally: &mut Tally) -> Result<(), StoreError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row<'_>> = self.fold.rows(&mut fresh, &self.known);
        let upserted = self.backend.upsert(&rows)?;
        tally.rows = upserted.inserted;

        let (divergences, amendments): (Vec<Said<'_>>, Vec<Amendment>) =
            fold::divergences(&fresh, &rows, &upserted.mismatches);
        tally.divergent = divergences.len() as u64;
        if !amendments.is_empty() {
            self.backend.amend(&amendments)?;
        }
        if !divergences.is_empty() {
            self.backend.divergences(&divergences)?;
        }
        if self.keep_all {
            let all: Vec<Said<'_>> = fresh.iter().map(|fresh| fresh.said(&rows)).collect();
            self.backend.responses(&all)?;
        }
        Ok(())
    }
}
