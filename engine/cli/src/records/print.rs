//! Records for people, for programs, and for tables.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headcast_recorder::records::Record;
use headcast_recorder::{Responder, Subject};
use serde_json::{Value, json};

/// Characters of a result that people are shown.
const SHOWN_MAX: usize = 60;

/// Prints one record after another.
pub(super) enum Printer<W: Write> {
    Text(W),
    Json(W),
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Printer<W> {
    pub(super) fn new(as_json: bool, as_csv: bool, out: W) -> Self {
        if as_json {
            Self::Json(out)
        } else if as_csv {
            Self::Csv(Box::new(csv::Writer::from_writer(out)))
        } else {
            Self::Text(out)
        }
    }

    /// The names of the columns, where there are some.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        match self {
            Self::Text(out) => writeln!(
                out,
                "{:<30} {:>10} {:<16} {:>6} {:>10} {:>10} {:>9} {:>9}  first result",
                "recorded", "publisher", "session", "stream", "seq", "responder", "responses", "divergent"
            ),
            Self::Json(_) => Ok(()),
            Self::Csv(csv) => Ok(csv.write_record([
                "publisher",
                "session",
                "stream",
                "seq",
                "part",
                "said",
                "recorded",
                "responder",
                "responder_session",
                "address",
                "responses",
                "divergent",
                "encoding",
                "result",
            ])?),
        }
    }

    pub(super) fn print(&mut self, record: &Record) -> io::Result<()> {
        match self {
            Self::Text(out) => print_text(record, out),
            Self::Json(out) => writeln!(out, "{}", described(record)),
            Self::Csv(csv) => print_csv(record, csv),
        }
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Text(out) | Self::Json(out) => out.flush(),
            Self::Csv(csv) => csv.flush(),
        }
    }
}

fn print_text(record: &Record, out: &mut impl Write) -> io::Result<()> {
    let Record { subject, result, responder, recorded_ns, responses, divergent, divergences, .. } = record;
    writeln!(
        out,
        "{:<30} {:>10} {:016x} {:>6} {:>10} {:>10} {responses:>9} {divergent:>9}  {}",
        time(*recorded_ns),
        subject.publisher,
        subject.session,
        subject.stream,
        number(subject),
        responder.publisher,
        shown(result)
    )?;
    for said in divergences {
        let Responder { publisher, session } = said.responder;
        writeln!(
            out,
            "  responder {publisher} ({session:016x}, {}) said {}",
            said.address,
            shown(&said.result)
        )?;
    }
    Ok(())
}

/// The number of a message in its stream: its sequence, and behind a point its place in the datagram that it shared with
/// those before it.
fn number(subject: &Subject) -> String {
    match subject.part {
        0 => subject.seq.to_string(),
        part => format!("{}.{part}", subject.seq),
    }
}

/// A result on a line of its own length: what cannot be printed is escaped.
fn shown(result: &[u8]) -> String {
    let text = String::from_utf8_lossy(result);
    let mut shown: String = text.chars().flat_map(char::escape_debug).take(SHOWN_MAX).collect();
    if text.chars().flat_map(char::escape_debug).nth(SHOWN_MAX).is_some() {
        shown += &format!("... ({} bytes)", result.len());
    }
    format!("\"{shown}\"")
}

/// A record with everything that is known of it. A result that is not UTF-8 is in base64.
fn described(record: &Record) -> Value {
    let Record { subject, responder, address, recorded_ns, responses, divergent, .. } = record;
    let mut value = json!({
        "publisher": subject.publisher,
        "session": format!("{:016x}", subject.session),
        "stream": subject.stream,
        "seq": subject.seq,
        "part": subject.part,
        "recorded": time(*recorded_ns),
        "recorded_ns": recorded_ns,
        "responder": responder.publisher,
        "responder_session": format!("{:016x}", responder.session),
        "address": address,
        "responses": responses,
        "divergent": divergent,
    });
    put_result(&mut value, &record.result);
    value["divergences"] = record
        .divergences
        .iter()
        .map(|said| {
            let mut value = json!({
                "responder": said.responder.publisher,
                "responder_session": format!("{:016x}", said.responder.session),
                "address": said.address,
                "recorded": time(said.recorded_ns),
                "recorded_ns": said.recorded_ns,
            });
            put_result(&mut value, &said.result);
            value
        })
        .collect();
    value
}

fn put_result(value: &mut Value, result: &[u8]) {
    match std::str::from_utf8(result) {
        Ok(text) => value["result"] = json!(text),
        Err(_) => value["result_base64"] = json!(BASE64_STANDARD.encode(result)),
    }
}

/// A line for the first result, and one for each that differs.
fn print_csv<W: Write>(record: &Record, csv: &mut csv::Writer<W>) -> io::Result<()> {
    let first = (&record.responder, &record.address, &record.result, record.recorded_ns);
    let others = record
        .divergences
        .iter()
        .map(|said| ("other", (&said.responder, &said.address, &said.result, said.recorded_ns)));
    for (which, (responder, address, result, recorded_ns)) in std::iter::once(("first", first)).chain(others)
    {
        let (encoding, result) = match std::str::from_utf8(result) {
            Ok(text) => ("utf-8", text.to_owned()),
            Err(_) => ("base64", BASE64_STANDARD.encode(result)),
        };
        csv.write_record([
            record.subject.publisher.to_string(),
            format!("{:016x}", record.subject.session),
            record.subject.stream.to_string(),
            record.subject.seq.to_string(),
            record.subject.part.to_string(),
            which.to_owned(),
            time(recorded_ns),
            responder.publisher.to_string(),
            format!("{:016x}", responder.session),
            address.clone(),
            record.responses.to_string(),
            record.divergent.to_string(),
            encoding.to_owned(),
            result,
        ])?;
    }
    Ok(())
}

/// A point in time as RFC 3339 writes it. Years have four digits there; what lies beyond is the last of them.
pub(super) fn time(unix_ns: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcast_recorder::records::Divergence;

    fn record(part: u16, result: &[u8]) -> Record {
        let responder = Responder { publisher: 7, session: 0xab };
        Record {
            subject: Subject { publisher: 3, session: 0x10_0001, stream: 2, seq: 9, part },
            result: result.to_vec(),
            responder,
            address: "10.0.0.1:9".into(),
            recorded_ns: 1_500_000_000,
            responses: 5,
            divergent: 1,
            divergences: vec![Divergence {
                responder,
                address: "10.0.0.2:9".into(),
                result: b"no, \"that\"".to_vec(),
                recorded_ns: 2_000_000_000,
            }],
        }
    }

    fn printed(as_json: bool, as_csv: bool, part: u16, result: &[u8]) -> String {
        let mut bytes = Vec::new();
        let mut printer = Printer::new(as_json, as_csv, &mut bytes);
        printer
            .begin()
            .and_then(|()| printer.print(&record(part, result)))
            .and_then(|()| printer.end())
            .expect("written");
        drop(printer);
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn people_see_one_line_whatever_the_result_is() {
        let text = printed(false, false, 0, b"a\nb\x1b[2J\0\xff");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("1970-01-01T00:00:01.500000000Z") && text.contains("0000000000100001"),
            "{text}"
        );
        assert!(text.contains(r#""a\nb\u{1b}[2J\0"#), "{text}");
        assert!(text.contains(r#"responder 7 (00000000000000ab, 10.0.0.2:9) said "no, \"that\"""#), "{text}");
        let long = printed(false, false, 0, &[b'x'; 1000]);
        assert!(long.contains("xxx... (1000 bytes)\""), "{long}");
        // The sequence stands there alone, unless the message was not the first of its datagram.
        for (part, shown) in [(0, "         9 "), (1, "       9.1 "), (u16::MAX, "   9.65535 ")] {
            let text = printed(false, false, part, b"x");
            assert!(text.contains(&format!("0000000000100001      2 {shown}         7 ")), "{text}");
        }
    }

    #[test]
    fn programs_get_everything_and_what_is_not_text_in_base64() {
        let value: Value = serde_json::from_str(&printed(true, false, 0, b"yes")).expect("JSON");
        assert_eq!(
            (&value["result"], &value["seq"], &value["part"], &value["responses"]),
            (&json!("yes"), &json!(9), &json!(0), &json!(5))
        );
        assert_eq!(value["divergences"][0]["result"], "no, \"that\"");
        let value: Value = serde_json::from_str(&printed(true, false, 2, b"\xff\0")).expect("JSON");
        assert_eq!((&value["result_base64"], &value["result"]), (&json!("/wA="), &Value::Null));
        assert_eq!((&value["seq"], &value["part"]), (&json!(9), &json!(2)));
    }

    #[test]
    fn tables_have_a_line_for_each_who_said_something() {
        let text = printed(false, true, 3, b"a,\"b\"\nc");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| (&row[3], &row[4]) == ("9", "3")), "{text}");
        assert_eq!((&rows[0][5], &rows[0][12], &rows[0][13]), ("first", "utf-8", "a,\"b\"\nc"));
        assert_eq!((&rows[1][5], &rows[1][9], &rows[1][13]), ("other", "10.0.0.2:9", "no, \"that\""));
    }
}
