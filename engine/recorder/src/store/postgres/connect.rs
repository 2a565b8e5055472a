//! How a server becomes ours: connected, locked, and given its tables.

use std::time::Duration;

use postgres::{Client, Config, GenericClient, NoTls};

use super::failure::Failure;
use super::{Session, Statements};
use crate::StoreError;
use crate::store::{Durability, schema};

/// The migration at index n makes version n + 1.
pub(crate) const MIGRATIONS: [&str; 2] =
    [include_str!("../postgres.sql"), include_str!("../postgres_parts.sql")];

/// The first number of the lock of the writer; the second is made of the name of the schema.
const LOCK: i32 = 0x4865_6164;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long data may stay without an answer from the other host: it is taken for gone then.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// When nothing is to be sent, the other host is asked after this long, ...
const KEEPALIVE_IDLE: Duration = Duration::from_secs(2);
/// ... this often ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// ... and this many times.
const KEEPALIVE_COUNT: u32 = 3;
/// What the library takes if nothing is said: as good as never.
const KEEPALIVE_IDLE_UNSAID: Duration = Duration::from_secs(7200);

/// What the server is asked to do on this connection, where it knows the setting. It shall notice as soon as
/// we do that the other host is gone: until then it holds our lock. It shall not wait for ever for the locks
/// of others. Commits that wait for replicas wait on, unless they would not even wait for the disk.
const SETTINGS: &str = "
    SELECT set_config(name, value, false)
    FROM (VALUES
        ('tcp_keepalives_idle', '2'),
        ('tcp_keepalives_interval', '1'),
        ('tcp_keepalives_count', '3'),
        ('tcp_user_timeout', '5000'),
        ('lock_timeout', '5000'),
        ('client_min_messages', 'warning')
    ) AS wanted (name, value)
    JOIN pg_catalog.pg_settings USING (name)";
const WAIT_FOR_DISK: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";
const DO_NOT_WAIT: &str = "SET synchronous_commit = off";

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1, hashtext(coalesce(current_schema(), '')))";

const PRESENT: &str = "
    SELECT relname::text FROM pg_catalog.pg_class
    WHERE relname = ANY ($1) AND relnamespace =
        (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
    ORDER BY relname";

/// The same with timeouts where none are said.
pub(crate) fn with_timeouts(config: &Config) -> Config {
    let mut config = config.clone();
    if config.get_application_name().is_none() {
        config.application_name("headcast");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    if config.get_keepalives() && config.get_keepalives_idle() == KEEPALIVE_IDLE_UNSAID {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_COUNT);
    }
    config
}

/// `None` if another connection has the lock of the writer.
pub(super) fn connect(
    config: &Config,
    durability: Durability,
    failure: &Failure,
) -> Result<Option<Session>, StoreError> {
    let explain = |error: postgres::Error| failure.explain(&error);
    let mut client = config.connect(NoTls).map_err(explain)?;
    let is_standby: bool = client
        .query_one("SELECT pg_is_in_recovery()", &[])
        .and_then(|row| row.try_get(0))
        .map_err(explain)?;
    if is_standby {
        return Err(StoreError::ReadOnly(failure.trouble("the server is a standby")));
    }
    client.batch_execute(SETTINGS).map_err(explain)?;
    let commit = match durability {
        Durability::Power => WAIT_FOR_DISK,
        Durability::Process => DO_NOT_WAIT,
    };
    client.batch_execute(commit).map_err(explain)?;
    let is_ours: bool =
        client.query_one(TRY_LOCK, &[&LOCK]).and_then(|row| row.try_get(0)).map_err(explain)?;
    if !is_ours {
        return Ok(None);
    }
    migrate(&mut client, failure)?;
    let statements = Statements::prepare(&mut client).map_err(explain)?;
    Ok(Some(Session { client, statements }))
}

/// Creates or renews the tables, by one transaction.
fn migrate(client: &mut Client, failure: &Failure) -> Result<(), StoreError> {
    let explain = |error: postgres::Error| failure.explain(&error);
    let mut transaction = client.transaction().map_err(explain)?;
    let present = present(&mut transaction).map_err(explain)?;
    let version = version(&mut transaction, &present).map_err(explain)?;
    let todo = schema::plan(&failure.database, &present, version, MIGRATIONS.len())?;
    schema::announce(&failure.database, &todo);
    for at in todo {
        transaction.batch_execute(MIGRATIONS[at]).map_err(explain)?;
        transaction.execute("DELETE FROM headcast_schema", &[]).map_err(explain)?;
        transaction
            .execute("INSERT INTO headcast_schema (version) VALUES ($1)", &[&schema::made_by(at)])
            .map_err(explain)?;
    }
    transaction.commit().map_err(explain)
}

/// Which of our names are taken where our tables are, or would be created.
pub(crate) fn present(client: &mut impl GenericClient) -> Result<Vec<String>, postgres::Error> {
    client.query(PRESENT, &[&&schema::NAMES[..]])?.iter().map(|row| row.try_get(0)).collect()
}

/// The version of the tables, if they have one.
pub(crate) fn version(
    client: &mut impl GenericClient,
    present: &[String],
) -> Result<Option<i64>, postgres::Error> {
    if !present.iter().any(|name| name == schema::NAMES[0]) {
        return Ok(None);
    }
    client.query_one("SELECT max(version)::bigint FROM headcast_schema", &[])?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_gone_is_noticed_within_seconds_unless_something_else_is_said() {
        let config = with_timeouts(&"postgres://me@db/r".parse().expect("a name"));
        assert_eq!(config.get_connect_timeout(), Some(&CONNECT_MAX));
        assert_eq!(config.get_tcp_user_timeout(), Some(&SILENCE_MAX));
        assert_eq!(config.get_keepalives_idle(), KEEPALIVE_IDLE);
        assert_eq!(config.get_keepalives_interval(), Some(KEEPALIVE_INTERVAL));
        assert_eq!(config.get_keepalives_retries(), Some(KEEPALIVE_COUNT));
        assert!(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_COUNT <= SILENCE_MAX);

        let said = "postgres://me@db/r?connect_timeout=9&tcp_user_timeout=8&keepalives_idle=7&keepalives_interval=6\
                    &keepalives_retries=5&application_name=mine";
        let config = with_timeouts(&said.parse().expect("a name"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(8)));
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(6)));
        assert_eq!(config.get_keepalives_retries(), Some(5));
        assert_eq!(config.get_application_name(), Some("mine"));
    }
}
