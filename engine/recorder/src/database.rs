//! Which database: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use postgres::config::{Host, SslMode};

/// A database by its name. Shown without its password.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of this host.
    Sqlite(PathBuf),
    /// A PostgreSQL server, and the database there.
    Postgres(Box<postgres::Config>),
}

/// Why the name of a database was not understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseError {
    /// It begins neither with `sqlite:` nor with `postgres://`: this is what it begins with.
    Scheme(String),
    /// `sqlite:` without a path.
    NoPath,
    /// A database in memory, which would be gone with the program.
    Memory,
    /// `sqlite://host/path`: a file has no host.
    HostOfFile(String),
    /// What comes after `postgres://` was not understood: why.
    Postgres(String),
    /// `postgres://` without a host.
    NoHost,
    /// TLS is demanded, which this program does not have.
    Tls,
}

impl Database {
    /// Whether its name has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(self, Self::Postgres(config) if config.get_password().is_some())
    }

    /// The same with this password, if it is PostgreSQL: for passwords that come from a file.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        if let Self::Postgres(config) = &mut self {
            config.password(password);
        }
        self
    }
}

impl FromStr for Database {
    type Err = DatabaseError;

    fn from_str(text: &str) -> Result<Self, DatabaseError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return parse_path(path);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return parse_postgres(text);
        }
        // A password may stand in what comes later.
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        Err(DatabaseError::Scheme(scheme.chars().take(40).collect()))
    }
}

/// `PATH`, or `//` and an absolute path.
fn parse_path(path: &str) -> Result<Database, DatabaseError> {
    let path = match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(rest) => return Err(DatabaseError::HostOfFile(rest.to_owned())),
        None => path,
    };
    match path {
        "" => Err(DatabaseError::NoPath),
        ":memory:" => Err(DatabaseError::Memory),
        path => Ok(Database::Sqlite(Path::new(path).to_owned())),
    }
}

fn parse_postgres(text: &str) -> Result<Database, DatabaseError> {
    let config: postgres::Config = text.parse().map_err(|error: postgres::Error| {
        DatabaseError::Postgres(
            std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string),
        )
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(DatabaseError::NoHost);
    }
    if matches!(config.get_ssl_mode(), SslMode::Require) {
        return Err(DatabaseError::Tls);
    }
    Ok(Database::Postgres(Box::new(config)))
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(config) => fmt_postgres(config, f),
        }
    }
}

/// `postgres://user@host:port,host:port/name`, or `postgres://user@/name?host=/directory`.
fn fmt_postgres(config: &postgres::Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("postgres://")?;
    if let Some(user) = config.get_user() {
        write!(f, "{user}@")?;
    }
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let mut directory = None;
    let mut written = 0;
    for (at, host) in config.get_hosts().iter().enumerate() {
        match host {
            Host::Tcp(name) => {
                write!(f, "{}{name}:{}", if written == 0 { "" } else { "," }, port(at))?;
                written += 1;
            }
            Host::Unix(path) => directory = Some((path, port(at))),
        }
    }
    if config.get_hosts().is_empty() {
        for (at, address) in config.get_hostaddrs().iter().enumerate() {
            write!(f, "{}{address}:{}", if at == 0 { "" } else { "," }, port(at))?;
        }
    }
    // Without a name the server takes the user's.
    if let Some(name) = config.get_dbname().or(config.get_user()) {
        write!(f, "/{name}")?;
    }
    if let Some((path, port)) = directory {
        write!(f, "?host={}&port={port}", path.display())?;
    }
    Ok(())
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) => write!(
                f,
                "'{scheme}' is no kind of database known here; write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
            ),
            Self::NoPath => f.write_str("'sqlite:' has no path; write sqlite:PATH, for example sqlite:responses.db"),
            Self::Memory => f.write_str(
                "a database in memory is gone with the program; write sqlite:PATH, for example sqlite:responses.db",
            ),
            Self::HostOfFile(rest) => write!(
                f,
                "'sqlite://{rest}' names a host, which a file has not; write sqlite:{rest} or sqlite:///{rest}"
            ),
            Self::Postgres(why) => {
                write!(f, "not understood: {why}; write postgres://USER:PASSWORD@HOST:PORT/NAME")
            }
            Self::NoHost => f.write_str(
                "'postgres://' has no host; write postgres://USER:PASSWORD@HOST:PORT/NAME, or ?host=/DIRECTORY for a Unix socket",
            ),
            Self::Tls => f.write_str(
                "sslmode=require: there is no TLS here; write sslmode=disable where the network is trusted, or connect through a proxy that speaks TLS",
            ),
        }
    }
}

impl std::error::Error for DatabaseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown_without_their_password() {
        for (text, shown) in [
            ("sqlite:responses.db", "sqlite:responses.db"),
            ("sqlite:/data/x.db", "sqlite:/data/x.db"),
            ("sqlite:///data/x.db", "sqlite:/data/x.db"),
            ("sqlite:a b?c.db", "sqlite:a b?c.db"),
            ("postgres://me:s3cret@db.example:6000/responses", "postgres://me@db.example:6000/responses"),
            ("postgresql://me:s3cret@db", "postgres://me@db:5432/me"),
            ("postgres://me:s3cret@a:1,b:2/r", "postgres://me@a:1,b:2/r"),
            ("postgres://me:s3cret@a,b/r", "postgres://me@a:5432,b:5432/r"),
            (
                "postgres:///r?host=/run/postgresql&user=me&password=s3cret",
                "postgres://me@/r?host=/run/postgresql&port=5432",
            ),
            (
                "postgres://me:s3cret@%2Frun%2Fpostgresql:6000/r",
                "postgres://me@/r?host=/run/postgresql&port=6000",
            ),
            ("postgres://me@db/r?sslmode=disable&password=s3cret", "postgres://me@db:5432/r"),
            ("postgres://me@/r?hostaddr=10.0.0.1", "postgres://me@10.0.0.1:5432/r"),
        ] {
            let database: Database = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(database.to_string(), shown, "{text}");
            assert!(!format!("{database:?}").contains("s3cret"), "{database:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right_and_without_a_password() {
        for (text, says) in [
            ("", "write sqlite:PATH or postgres://"),
            ("responses.db", "'responses.db' is no kind of database"),
            ("mysql://me:s3cret@db/r", "'mysql' is no kind of database"),
            ("sqlite:", "for example sqlite:responses.db"),
            ("sqlite::memory:", "gone with the program"),
            ("sqlite://data/x.db", "write sqlite:data/x.db or sqlite:///data/x.db"),
            ("postgres://me:s3cret@db:port/r", "not understood"),
            ("postgres://me:s3cret@db/r?colour=red", "colour"),
            ("postgres://", "no host"),
            ("postgres://me:s3cret@db/r?sslmode=require", "no TLS here"),
        ] {
            let error = text.parse::<Database>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_can_be_given_apart() {
        let database: Database = "postgres://me@db/r".parse().expect("a name");
        let Database::Postgres(config) = database.with_password("s3cret") else { panic!("PostgreSQL") };
        assert_eq!(config.get_password(), Some(&b"s3cret"[..]));
    }
}
