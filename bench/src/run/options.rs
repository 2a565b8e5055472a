//! What a run is asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use headcast::peers::Source;
use headcast::{Mode, PublisherBuilder};

use crate::load::stamp::STAMP_LEN;
use crate::usage::{self, Cores, Usage};

/// What the books of all receivers may take, in bytes: one bit for each message.
const BOOKS_MAX: f64 = (1_u64 << 30) as f64;
/// The longest run.
const DURATION_MAX: Duration = Duration::from_secs(3600);

/// What to send, to whom, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Messages per second.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = usage::rate)]
    pub rate: f64,
    /// How long it is measured; at most 1h, the warm-up included.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = usage::duration)]
    pub duration: Duration,
    /// How long messages are sent before that, which are in no figure.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = usage::duration)]
    pub warm_up: Duration,
    /// Bytes of each message; the first 24 say which one it is and when it was due.
    #[arg(long, value_name = "BYTES", default_value_t = 128,
          value_parser = RangedU64ValueParser::<usize>::new().range(STAMP_LEN as u64..=1_048_576))]
    pub size: usize,
    /// Receivers of our own, on loopback.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub receivers: usize,
    /// Send to everybody behind this name, or to this one address, instead. What they receive is theirs to measure.
    #[arg(long, value_name = "NAME:PORT|ADDR:PORT", conflicts_with = "receivers")]
    pub to: Option<String>,
    /// The DNS server to ask for the name, instead of those of the host.
    #[arg(long, value_name = "ADDR:PORT", requires = "to")]
    pub dns_server: Option<SocketAddr>,
    /// Send the payload alone, for receivers that know nothing of Headcast. Once, unless --copies says otherwise.
    #[arg(long)]
    pub raw: bool,
    /// How messages are made to arrive: once, dup, dup+nak or nak. dup, unless raw.
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<Mode>,
    /// How often each message is sent.
    #[arg(long, value_name = "N")]
    pub copies: Option<usize>,
    /// Begin each message with the same receiver, so that the same one is always the last.
    #[arg(long)]
    pub no_rotation: bool,
    /// The cores to keep the sender and the receivers on; `auto` takes the first two that it may run on, `none` leaves
    /// them to the kernel, as `auto` does where there are not two.
    #[arg(long, value_name = "SENDER,RECEIVERS", default_value = "auto", value_parser = usage::cores)]
    pub cores: Cores,
    /// The buffer to ask the kernel for, for each receiver, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub receive_buffer: usize,
    /// Write run.json, the histograms (.hgrm) and their log (.hlog) into this directory; `report` makes a page of it.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

impl Default for Options {
    /// Those of the command line, but without a warm-up, and on any core.
    fn default() -> Self {
        Self {
            rate: 1_000.0,
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            size: 128,
            receivers: 8,
            to: None,
            dns_server: None,
            raw: false,
            mode: None,
            copies: None,
            no_rotation: false,
            cores: Cores(None),
            receive_buffer: 4 << 20,
            output: None,
        }
    }
}

impl Options {
    /// Whether it all goes together.
    ///
    /// # Errors
    /// Says what does not, and what would be right.
    pub fn check(&self) -> Result<(), Usage> {
        let usage = |text: String| Err(Usage(text));
        let all = self.duration.saturating_add(self.warm_up);
        if self.duration.is_zero() || all > DURATION_MAX {
            let asked = humantime::format_duration(all);
            return usage(format!(
                "a run of {asked}: right would be more than nothing, and up to 1h with its warm-up"
            ));
        }
        let messages = self.rate * self.duration.as_secs_f64();
        // What others receive is not kept account of.
        if self.to.is_none() && messages / 8.0 * self.receivers as f64 > BOOKS_MAX {
            return usage(format!(
                "{messages:.0} messages at {} receivers are more than can be kept account of; right would be a \
                 shorter --duration, a lower --rate or fewer --receivers",
                self.receivers
            ));
        }
        if self.raw && self.size > headcast::limits::DATAGRAM_MAX {
            let most = headcast::limits::DATAGRAM_MAX;
            return usage(format!(
                "--size {}: raw, a message is a datagram of at most {most} bytes",
                self.size
            ));
        }
        self.cores.check(self.to.is_some())?;
        if let Some(to) = &self.to {
            self.source(to)?;
        }
        self.publisher(0).check().map_err(|error| Usage(error.to_string()))
    }

    /// A publisher as asked for, without its peers, under this number.
    pub(super) fn publisher(&self, id: u32) -> PublisherBuilder {
        let mut builder = headcast::Publisher::builder()
            .publisher_id(id)
            .raw(self.raw)
            .rotate(!self.no_rotation)
            .send_buffer(crate::SEND_BUFFER);
        if let Some(mode) = self.mode {
            builder = builder.mode(mode);
        }
        if let Some(copies) = self.copies {
            builder = builder.copies(copies);
        }
        if self.raw { builder.datagram_max(headcast::limits::DATAGRAM_MAX) } else { builder }
    }

    /// Who is behind a name.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn source(&self, to: &str) -> Result<Source, Usage> {
        let source = Source::from_target(to).map_err(|error| Usage(error.to_string()))?;
        Ok(match (source, self.dns_server) {
            (Source::Dns(query), Some(server)) => Source::Dns(query.via([server])),
            (source, _) => source,
        })
    }

    /// What is not the usual, in words.
    pub(super) fn variant(&self) -> String {
        let mut words = Vec::new();
        let mode = self.mode.unwrap_or(if self.raw { Mode::Once } else { Mode::Dup });
        words.push(if self.raw { "raw".to_owned() } else { mode.to_string() });
        words.extend(self.copies.map(|copies| format!("{copies} copies")));
        words.extend(self.no_rotation.then(|| "no rotation".to_owned()));
        words.join(", ")
    }
}

pub(crate) fn mode(text: &str) -> Result<Mode, String> {
    let modes = [Mode::Once, Mode::Dup, Mode::DupNak, Mode::Nak];
    let found = modes.into_iter().find(|mode| mode.to_string() == text);
    found.ok_or_else(|| format!("'{text}' is no mode; right would be once, dup, dup+nak or nak"))
}
