//! The database is another one from one moment to the next: restored from a backup, or empty.

use crate::account;
use crate::database::Site;
use crate::load::{Load, Rate};
use crate::process::{Recorder, count};
use crate::support::{free_address, on_each_database, until};

const RATE: Rate = Rate { responders: 4, responses: 4, queue: 8192 };

on_each_database! { an_empty_database_gets_all_that_was_not_acknowledged an_older_database_goes_on_where_responders_are }

fn an_empty_database_gets_all_that_was_not_acknowledged<S: Site>() {
    let (before, after) = (S::new(), S::new());
    let listen = free_address();
    let start = |site: &S| Recorder::start_at(&site.url(), listen, &["--keep-all"]);
    let mut recorder = start(&before);
    recorder.until_ready();
    let mut load = Load::start(&[listen], RATE);
    until("responses are acknowledged", || load.acknowledged() > 2_000);
    recorder.kill();
    load.check(&before);

    let mut recorder = start(&after);
    recorder.until_ready();
    let seen = load.acknowledged();
    until("the other acknowledges", || load.acknowledged() > seen + 2_000);
    let accounts = load.close();
    let totals = recorder.terminate().totals();
    assert_eq!(totals["refused"], serde_json::json!({}), "{totals}");

    account::check_parts(&[&before.tables(), &after.tables()], &accounts);
}

fn an_older_database_goes_on_where_responders_are<S: Site>() {
    let (old, newer) = (S::new(), S::new());
    let listen = free_address();
    let start = |site: &S| Recorder::start_at(&site.url(), listen, &["--keep-all"]);
    let mut load = Load::start(&[listen], RATE);
    // The old one knows the responders; while the newer one takes over, they get further ahead than any gap
    // that responders leave.
    for (site, until_acknowledged) in [(&old, 500), (&newer, 30_000)] {
        let mut recorder = start(site);
        recorder.until_ready();
        until("responses are acknowledged", || load.acknowledged() > until_acknowledged);
        recorder.kill();
    }
    let mut recorder = start(&old);
    recorder.until_ready();
    let accounts = load.close();
    let log = recorder.log();
    assert!(log.contains("no longer hold responses"), "what is missing is told: {log}");
    let totals = recorder.terminate().totals();
    assert!(count(&totals, "skipped") > 0, "and counted: {totals}");
    account::check_parts(&[&newer.tables(), &old.tables()], &accounts);
}
